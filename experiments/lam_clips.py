"""Whole episodes as latent action models predict them, read for the report of evaluate_lam."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.lam_inputs import Source
from experiments.progress_bar import progress
from flexlam_jax.evaluation.lam.clips import Stretch, clip_of
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.reports.clip import Clip


def clips_of(
    lams: Mapping[str, Any],
    source: Source,
    split: str,
    stretches: Sequence[Stretch],
    budgets: Sequence[int],
    titles: Mapping[str, str],
) -> list[Clip]:
    """A clip of each stretch of a split of the source."""
    versions = sum(len(chosen_budgets(lam, budgets)) for lam in lams.values())
    tick = progress("decode clips", len(stretches) * versions)
    clips = []
    for one in stretches:
        batches = list(source.batches(split, spans=_spans(one.rows)))
        first = batches[0]
        name = source.names[int(first["dataset"][0])]
        every = int(one.rows[1] - one.rows[0]) if len(one.rows) > 1 else 1
        shown = "" if every == 1 else f", 1 in {every} of them shown"
        clips.append(
            clip_of(
                lams,
                np.concatenate([np.asarray(batch["frames"]) for batch in batches]),
                one.steps,
                one.length,
                f"{name}, episode {int(first['episode'][0])}: {one.length} transitions{shown}",
                budgets=budgets,
                fps=source.info.spec(name).fps,
                titles=titles,
                tick=tick,
            )
        )
    return clips


def _spans(rows: np.ndarray) -> list[range]:
    """Rows as few ranges."""
    breaks = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return [range(int(rows[i]), int(rows[j - 1]) + 1) for i, j in itertools.pairwise(breaks)]
