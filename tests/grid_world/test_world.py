"""The grid world: what actions do, who acts, what frames show."""

import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.grid_world import world


def test_moves_stop_at_walls_and_frames_show_that_as_staying():
    moves, effects = world.moves(), world.effects()
    #  0  1  2  3
    #  4  5  6  7
    #  8  9 10 11
    assert moves[0].tolist() == [0, 0, 4, 0, 1]  # stay, up, down, left, right
    assert moves[6].tolist() == [6, 2, 10, 5, 7]
    assert moves[11].tolist() == [11, 7, 11, 10, 11]
    assert effects[0].tolist() == [0, 0, 2, 0, 4]
    assert effects[6].tolist() == [0, 1, 2, 3, 4]


def test_the_correlated_policy_goes_round_through_every_cell():
    policy, cell, seen = world.policy("correlated"), 0, []
    np.testing.assert_allclose(policy.sum(1), 1)
    np.testing.assert_allclose(policy.max(1), 0.95 + 0.05 / 5)
    for _ in range(world.CELLS):
        seen.append(cell)
        cell = world.moves()[cell, policy[cell].argmax()]
    assert sorted(seen) == list(range(world.CELLS)) and cell == 0


@pytest.mark.parametrize("name", world.POLICIES)
def test_a_walk_follows_its_policy(name):
    walk, policy = world.play(world.policy(name), 20_000, seed=0), world.policy(name)
    counts = np.zeros_like(policy)
    np.add.at(counts, (walk.cell, walk.action), 1)
    np.testing.assert_allclose(counts.sum(1) / len(walk.cell), 1 / 12, atol=0.02)
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), policy, atol=0.05)
    np.testing.assert_array_equal(walk.next_cell, world.moves()[walk.cell, walk.action])
    np.testing.assert_array_equal(walk.next_cell[:-1], walk.cell[1:])
    np.testing.assert_array_equal(walk.next_noise[:-1], walk.noise[1:])
    bits = (walk.noise[:, None] >> np.arange(4)) & 1
    np.testing.assert_allclose(bits.mean(0), 0.5, atol=0.02)
    assert np.abs(np.corrcoef(walk.noise, walk.next_noise)[0, 1]) < 0.03


def test_every_transition_is_there_once():
    every = np.stack(world.every_transition(), 1)
    assert len(np.unique(every, axis=0)) == len(every) == 12 * 5 * 16 * 16


def test_frames_hold_the_square_and_the_noise():
    frame = np.asarray(world.frames(jnp.array([6]), jnp.array([0b0101]), 2.0))[0]
    shown = np.zeros((4, 4))
    shown[1, 2] = 1
    shown[3] = [2, 0, 2, 0]
    np.testing.assert_array_equal(frame, shown)


def test_a_shift_is_periodic_and_each_frame_has_its_own():
    frame = world.frames(jnp.array([3, 3, 4]), jnp.array([1, 1, 8]), 1.0)
    moved = np.asarray(world.shifted(frame, jnp.array([1, 0, -1])))
    assert moved[0, 0, 0] == 1 and moved[0, 3, 1] == 1  # out at the right, in at the left
    np.testing.assert_array_equal(moved[1], frame[1])
    assert moved[2, 1, 3] == 1 and moved[2, 3, 2] == 1


def test_labels_are_a_share_that_depends_on_the_seed():
    first, other = (world.labelled(1000, 0.01, seed) for seed in (0, 1))
    assert first.sum() == other.sum() == 10 and (first != other).any()
    assert world.labelled(20, 0.01, 0).sum() == 1 and world.labelled(20, 1, 0).all()


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_a_share_of_labels_is_above_0_and_at_most_1(share):
    with pytest.raises(UserError, match=r"share of labels .* outside \(0, 1\]"):
        world.labelled(10, share, 0)


def test_unknown_policies_and_negative_noise_are_refused():
    with pytest.raises(UserError, match="'snake' is unknown; choose one of uniform, correlated"):
        world.policy("snake")
    with pytest.raises(UserError, match="intensity -1 is below 0"):
        world.check_intensity(-1)
