"""What a study found: F1 of boundaries by setting and kind of sequences, over seeds.

For each stage a setting is chosen by the validation split: the one that is furthest ahead of the
best cuts that nothing was learned for, in the mean over kinds of sequences and seeds. Sequences that
repeat values do not count, as jumps say it all there. Everything shown is of the test split.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import provenance
from experiments.pieces.runner import Runner, seconds_by_stage
from experiments.pieces.times import times_table
from experiments.skill_study.changes import Change
from experiments.skill_study.pieces import VISIBLE
from experiments.skill_study.scores import CONTROLS, FILE, TOLERANCE
from experiments.skill_study.sources import Source
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.results import Column, Table, plain
from flexlam_jax.reports.tables import as_markdown, as_text
from flexlam_jax.typed_json import read_json

TITLE = "Are boundaries of skills where segments begin?"
FORMAT = 1
Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by setting


def write_results(runner: Runner, out: Path, source: Source, changes: Sequence[Change]) -> None:
    """Writes results.json and results.md, and prints the tables."""
    rows = {change.name: _read(out / change.name / FILE) for change in changes}
    best = best_settings(rows)
    seen = visible_table(_read(out / VISIBLE / FILE))
    shown = [seen, *tables(rows, best), settings_table(changes), times_table(_times(runner))]
    made = provenance.made_by("experiments.skill_study")
    told = {"format": FORMAT, **made, "chosen": best, "source": source.told(), "rows": rows}
    text = json.dumps(plain(told), indent=1, allow_nan=False) + "\n"
    write_atomically(out / "results.json", text)
    write_atomically(out / "results.md", markdown(shown, made, source, best))
    for table in shown:
        print(f"\n{as_text(table)}")
    print(out / "results.md")


def ahead(row: Row) -> float:
    """F1 minus that of the best of CONTROLS."""
    return row["f1"] - max(row[name] for name in CONTROLS)


def best_settings(rows: Rows) -> dict[int, str]:
    """{stage: the setting that is furthest ahead on the validation split}.

    One that cuts nothing with some seed is behind all others: it is level with cuts of no count.
    """
    stages = sorted({row["stage"] for of in rows.values() for row in of})

    def rank(name: str, stage: int) -> tuple[bool, float]:
        key = ("validation", stage)
        held_out = [row for row in rows[name] if (row["split"], row["stage"]) == key]
        counted = [row for row in held_out if row["repeats_cut"] is None] or held_out
        return all(row["chunks"] > 1 for row in counted), float(np.mean([*map(ahead, counted)]))

    return {stage: max(rows, key=lambda name: rank(name, stage)) for stage in stages}


def tables(rows: Rows, best: Mapping[int, str]) -> list[Table]:
    """One of F1 and one of what else is known of the boundaries, for every stage."""
    found = []
    for stage, name in best.items():
        cells = list(_cells(rows, name, stage))
        found += [_score_table(stage, cells), _boundary_table(stage, cells)]
    return found


def _cells(rows: Rows, best: str, stage: int) -> Iterator[dict[str, Any]]:
    """A row per kind of sequences and setting: every measure over seeds, of the test split."""
    kinds = dict.fromkeys(row["sequences"] for of in rows.values() for row in of)
    for kind in kinds:
        for name, of in rows.items():
            mine = [
                {**row, "ahead": ahead(row)}
                for row in of
                if (row["sequences"], row["stage"], row["split"]) == (kind, stage, "test")
            ]
            if mine:
                told = f"{name} (chosen)" if name == best else name
                yield {"sequences": kind, "setting": told, **_over_seeds(mine)}


def _over_seeds(rows: Sequence[Row]) -> dict[str, Any]:
    skip = ("sequences", "seed", "split", "stage", "level")
    return {
        key: over_seeds([row[key] for row in rows], key)
        for key in rows[0]
        if key not in skip and all(row[key] is not None for row in rows)
    }


_INDEX = [Column("sequences", "sequences"), Column("setting", "setting")]


def _score_table(stage: int, cells: Sequence[Row]) -> Table:
    columns = [*_INDEX, Column("f1", "F1"), *(Column(name, name) for name in CONTROLS)]
    columns += [Column("ahead", "ahead"), Column("precision", "precision")]
    columns += [Column("recall", "recall")]
    caption = "ahead: F1 minus that of the best of equal, random and jump cuts, seed by seed."
    title = f"Stage {stage}: F1"
    return Table(title, cells, columns, index=("sequences", "setting"), caption=caption)


def _boundary_table(stage: int, cells: Sequence[Row]) -> Table:
    columns = [*_INDEX, Column("chunks", "chunks", 1), Column("true_chunks", "true chunks", 1)]
    columns += [Column("undecided", "undecided"), Column("one_step", "one step")]
    columns += [Column("repeats_cut", "repeats cut")]
    columns += [Column("latent", "next latent", 3), Column("copied", "copied", 3)]
    caption = (
        "chunks: per sequence. undecided: share of probabilities within 0.1 of 1/2. one step: share "
        "of chunks of one position. repeats cut: share of steps equal to the one before that begin a "
        "chunk. next latent, copied: L1 error of the prediction, and of the last latent action."
    )
    title = f"Stage {stage}: boundaries"
    return Table(title, cells, columns, index=("sequences", "setting"), caption=caption)


def visible_table(rows: Sequence[Row]) -> Table:
    """F1 of what is cut without a model, over seeds."""
    kinds = dict.fromkeys((row["sequences"], row["level"]) for row in rows)
    cells = [
        {
            "sequences": kind,
            "level": level,
            **_over_seeds([r for r in rows if (r["sequences"], r["level"]) == (kind, level)]),
        }
        for kind, level in kinds
    ]
    columns = [Column("sequences", "sequences"), Column("level", "boundaries of stage")]
    columns += [Column(name, name) for name in (*CONTROLS, "probe")]
    columns += [Column("chunk_jump", "jump of chunks"), Column("step_jump", "jump of steps")]
    caption = (
        "Each makes as many chunks as are true. probe: the likeliest steps by a logistic regression on "
        "a step and the one before, trained on the true boundaries. Of the later stage, the largest "
        "changes among the true boundaries of the one before: jump of chunks, from the first step of a "
        "chunk to that of the next; jump of steps, from the step before."
    )
    title = "What can be seen: F1"
    return Table(title, cells, columns, index=("sequences", "level"), caption=caption)


def settings_table(changes: Sequence[Change]) -> Table:
    """What each setting is."""
    rows = [{"setting": change.name, "about": change.about} for change in changes]
    columns = [Column("setting", "setting"), Column("about", "what it is")]
    return Table("Settings", rows, columns, index=("setting",))


def markdown(
    shown: Sequence[Table], made: Mapping[str, str], source: Source, best: Mapping[int, str]
) -> str:
    """The tables for docs/results."""
    chosen = ", ".join(f"*{name}* at stage {stage}" for stage, name in best.items())
    about = (
        f"{len(source.seeds)} seeds, boundaries matched one to one within {TOLERANCE} steps, of the "
        "test split. Equal, random and jump cuts make as many chunks of every sequence as the "
        "boundaries beside them. Furthest ahead of the best of them on the validation split, sequences "
        f"that repeat values left aside: {chosen}. ± is half of a 95 % interval (Student's t) over "
        "seeds."
    )
    kinds = "\n".join(f"- {name}: {what}" for name, what in source.kinds.items())
    parts = [f"# {TITLE}", about, kinds, "\n".join(f"- {k}: {text}" for k, text in made.items())]
    for table in shown:
        parts += [f"## {table.title}", as_markdown(table)]
    return "\n\n".join(parts) + "\n"


def _times(runner: Runner) -> Mapping[str, Mapping[str, float]]:
    return seconds_by_stage(list(runner.finished()), runner.markers)


def _read(path: Path) -> list[Row]:
    told = read_json(path, dict[str, Any], remedy="remove its folder and its marker in finished/")
    return told["rows"]
