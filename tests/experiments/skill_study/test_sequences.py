"""Planted sequences have the segments that they say; recorded ones those of their phases."""

import numpy as np
import pytest

from experiments.skill_study.planted import PLANTED, Planted, planted
from experiments.skill_study.sequences import Sequences, normalised

COUNTS = {"train": 12, "validation": 4, "test": 4}
BY_NAME = {kind.name: kind for kind in PLANTED}


@pytest.fixture(scope="module")
def held():
    return planted(BY_NAME["held"], 0, COUNTS)


def test_held_values_change_where_skills_begin_and_nowhere_else(held):
    for one in held.values():
        skills, tasks = one.levels
        changes = np.any(one.latents[:, 1:] != one.latents[:, :-1], axis=-1)
        inside = one.valid[:, 1:]
        np.testing.assert_array_equal(changes[inside], skills[:, 1:][inside])
        assert skills[:, 0].all() and tasks[:, 0].all() and not skills[~one.valid].any()
        assert (tasks <= skills).all() and 0 < tasks.sum() < skills.sum()
        assert np.ptp(one.valid.sum(axis=1)) > 0 and not one.latents[~one.valid].any()


def test_a_seed_is_a_world_whose_skills_come_again(held):
    again = planted(BY_NAME["held"], 0, COUNTS)
    other = planted(BY_NAME["held"], 1, COUNTS)
    np.testing.assert_array_equal(again["test"].latents, held["test"].latents)
    points = {
        split: {tuple(z) for z in one.latents[one.valid].round(4)} for split, one in held.items()
    }
    assert points["test"] <= points["train"] and len(points["train"]) <= 12
    assert not points["test"] & {tuple(z) for z in other["test"].latents[0].round(4)}


def test_a_skill_draws_to_its_point_whatever_the_noise():
    still, noisy = (
        planted(Planted("", "", noise, carry=0.5), 3, COUNTS)["train"] for noise in (0.0, 0.2)
    )
    np.testing.assert_array_equal(still.levels[0], still.levels[0])
    steps = np.linalg.norm(np.diff(still.latents, axis=1), axis=-1)
    first = still.levels[0][:, 1:]
    later = still.valid[:, 1:] & ~first
    assert steps[first].mean() > 3 * steps[later].mean()
    assert np.isclose(noisy.latents[noisy.valid].std(), still.latents[still.valid].std(), rtol=0.2)


def test_numbers_are_normalised_by_the_train_split_and_padding_stays_zero():
    rng = np.random.default_rng(0)
    valid = np.arange(5) < np.array([[5], [3]])

    def split(mean):
        z = rng.normal(mean, [2.0, 0.0], (2, 5, 2)).astype(np.float32)
        return Sequences(np.where(valid[..., None], z, 0), valid, ())

    done = normalised({"train": split(3.0), "test": split(5.0)})
    of = done["train"].latents[valid]
    np.testing.assert_allclose(of.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(of.std(axis=0), [1, 0], atol=1e-5)
    assert not done["train"].latents[~valid].any()
    np.testing.assert_allclose(done["test"].latents[valid][:, 1], 2.0, atol=1e-5)
