"""How well cuts are where segments begin, beside cuts that nothing was learned for."""

from typing import Any

import jax
import numpy as np

from experiments.skill_study.fits import Cut
from experiments.skill_study.sequences import Sequences
from flexlam_jax.evaluation.boundary_scores import boundary_f1
from flexlam_jax.evaluation.cuts import chunk_counts, equal_cuts, jump_cuts, random_cuts

FILE = "scores.json"  # of measure.py
CONTROLS = ("equal", "random", "jump")
TOLERANCE = 2  # steps
_DRAWS = 8  # of random cuts, whose mean F1 is told


def scores(sequences: Sequences, cut: Cut, seed: int) -> list[dict[str, Any]]:
    """A row per stage: stage s is compared with the s-th level of true boundaries, the finest first.

    f1, precision, recall of what was learned; f1 of each of CONTROLS with as many chunks in every
    sequence; chunks and true_chunks per sequence; undecided and one_step as in the objective's
    metrics; latent and copied, the errors of the next latent action; repeats_cut, the share of steps
    equal to the one before that begin a chunk, None where there are none.
    """
    valid, rows = sequences.valid, []
    for stage, (found, true) in enumerate(
        zip(cut.boundaries, sequences.levels, strict=False), start=1
    ):
        counts = chunk_counts(found, valid)
        score = boundary_f1(found, true, valid, TOLERANCE)
        rows.append(
            {
                "stage": stage,
                **score._asdict(),
                **controls(sequences, true, counts, seed),
                "chunks": float(counts.mean()),
                "true_chunks": float(chunk_counts(true, valid).mean()),
                "undecided": cut.metrics[f"undecided_{stage}"],
                "one_step": cut.metrics[f"one_step_{stage}"],
                "latent": cut.metrics["latent"],
                "copied": cut.metrics["copied_latent"],
                "repeats_cut": _repeats_cut(sequences, found),
            }
        )
    return rows


def controls(
    sequences: Sequences, true: np.ndarray, counts: np.ndarray, seed: int
) -> dict[str, float]:
    """F1 of each of CONTROLS at the boundaries `true` (E, T), with counts (E,) of chunks."""
    valid = sequences.valid

    def f1(cut: np.ndarray) -> float:
        return boundary_f1(cut, true, valid, TOLERANCE).f1

    keys = jax.random.split(jax.random.key(seed), _DRAWS)
    return {
        "equal": f1(equal_cuts(valid, counts)),
        "random": float(np.mean([f1(random_cuts(key, valid, counts)) for key in keys])),
        "jump": f1(jump_cuts(sequences.latents, valid, counts)),
    }


def _repeats_cut(sequences: Sequences, found: np.ndarray) -> float | None:
    z = sequences.latents
    same = np.all(z[:, 1:] == z[:, :-1], axis=-1) & sequences.valid[:, 1:]
    return float(found[:, 1:][same].mean()) if same.any() else None
