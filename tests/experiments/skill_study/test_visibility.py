"""What can be seen of true boundaries without skills, and what a supervised probe finds."""

import numpy as np
import pytest

from experiments.skill_study.probe import features, logits
from experiments.skill_study.results import visible_table
from experiments.skill_study.sequences import Sequences
from experiments.skill_study.visibility import chunk_jumps, step_jumps, visible

STEPS = 24


def sequences(count, seed):
    """Chunks of four steps at random points; before every third chunk the sequence has gone far
    away, and all chunks begin alike. Nothing else tells the third ones."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(0, 0.1, (count, STEPS, 2))
    fine, coarse = np.zeros((2, count, STEPS), bool)
    fine[:, ::4], coarse[:, ::12] = True, True
    latents[:, 1::4] += 2
    latents[:, 3::4] -= 1
    latents[:, 11::12] += 9
    return Sequences(latents.astype(np.float32), np.ones((count, STEPS), bool), (fine, coarse))


def test_what_comes_before_a_chunk_tells_more_than_where_it_begins():
    inner, outer = visible(sequences(16, 0), sequences(8, 1), 0)
    assert (inner["level"], outer["level"]) == (1, 2)
    assert inner["chunk_jump"] is inner["step_jump"] is None
    assert outer["step_jump"] == outer["probe"] == 1 and outer["chunk_jump"] < 0.6
    assert inner["probe"] == 1 and inner["jump"] < 1


def test_jumps_between_the_first_steps_of_chunks_and_at_them():
    z = np.array([[[0.0], [5.0], [1.0], [1.5], [7.0]]])
    of = Sequences(z, np.ones((1, 5), bool), ())
    cut = np.array([[True, False, True, False, True]])
    off = -np.inf
    np.testing.assert_array_equal(step_jumps(of, cut), [[0, off, 4, off, 5.5]])
    np.testing.assert_array_equal(chunk_jumps(of, cut), [[off, off, 1, off, 6]])


def test_the_probe_reads_nothing_of_later_steps():
    train, test = sequences(8, 0), sequences(2, 1)
    whole = logits(train, 0, test)
    spoilt = test.latents.copy()
    spoilt[:, 13:] = 50
    seen = logits(train, 0, Sequences(spoilt, test.valid, test.levels))
    np.testing.assert_array_equal(seen[:, :13], whole[:, :13])
    assert (seen[:, 13:] != whole[:, 13:]).all()
    np.testing.assert_array_equal(
        features(test.latents)[:, 0, :2], features(test.latents)[:, 0, 2:4]
    )


def test_the_table_has_a_row_per_kind_and_level():
    rows = [
        {"sequences": "actions", "seed": seed, **row}
        for seed in (0, 1)
        for row in visible(sequences(4, seed), sequences(4, seed + 9), seed)
    ]
    inner, outer = visible_table(rows).rows
    assert (inner["level"], outer["level"]) == (1, 2)
    assert outer["step_jump"].mean == pytest.approx(1) and "step_jump" not in inner
    assert "seed" not in outer
