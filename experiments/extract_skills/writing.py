"""Skills as sidecars, block by block."""

import functools
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.format.sidecar_writing import SidecarWriter
from experiments.extract_skills.skills import Wanted, skills_of
from experiments.progress_bar import progress
from experiments.skill_episodes import Episodes
from experiments.skill_inputs import SkillSource
from experiments.skill_manifest import write_skill_manifest
from experiments.written_before import rows_written

BLOCK_ROWS = 8192
Rows = dict[str, np.ndarray]  # array -> its rows


def write_manifest(out: Path, source: SkillSource, wanted: Wanted) -> dict[str, Any]:
    """Writes what the folder holds, and returns what its sidecars say of their model.

    Raises:
      UserError: the folder holds other skills.
    """
    skills = source.skills
    lam = {key: skills.lam[key] for key in ("step", "fingerprint")}
    made_by = {"model": skills.fingerprint(), "step": skills.step, "lam": lam} | wanted.told()
    mine = {"gap": skills.gap, "data": source.data.identity()}
    mine |= {"width": skills.widths[wanted.stage - 1]} | made_by
    write_skill_manifest(out, mine)
    return made_by


def extract(
    out: Path,
    source: SkillSource,
    episodes: Episodes,
    name: str,
    split: str,
    wanted: Wanted,
    made_by: dict[str, Any],
) -> int:
    """Writes the blocks of one split that are missing; its transitions."""
    width = source.skills.widths[wanted.stage - 1]
    writer = SidecarWriter(
        out,
        source.data.info,
        name,
        split,
        kind="skills",
        alignment="transition",
        arrays={"skill": (np.float32, (width,)), "boundary": (np.uint8, ())},
        gap=source.skills.gap,
        made_by=made_by,
        block_rows=BLOCK_ROWS,
    )
    if rows_written(writer) is None:
        key = jax.random.fold_in(
            jax.random.key(wanted.seed), zlib.crc32(f"{name}/{split}".encode())
        )

        @functools.lru_cache(maxsize=1)  # A group ends in one block and goes on in the next.
        def group(number: int) -> tuple[range, Rows]:
            one = episodes.group(number)
            return one.rows, skills_of(source.skills, one, wanted, jax.random.fold_in(key, number))

        missing = list(writer.missing())
        tick = progress(f"{name}/{split}", sum(block.stop - block.start for block in missing))
        for block in missing:
            rows = range(block.start, block.stop)
            writer.write(block, _cut_rows([group(i) for i in episodes.groups_with(rows)], rows))
            tick(len(rows))
        writer.finish()
        print(f"{writer.place}: {writer.facts.rows} transitions")
    return writer.facts.rows


def _cut_rows(groups: list[tuple[range, Rows]], rows: range) -> Rows:
    """These rows of a split, from groups that follow one another and hold them."""
    first = groups[0][0].start
    return {
        name: np.concatenate([arrays[name] for _, arrays in groups])[
            rows.start - first : rows.stop - first
        ]
        for name in groups[0][1]
    }
