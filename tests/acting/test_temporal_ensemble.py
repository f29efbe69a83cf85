"""Temporal ensembling against a plain loop over all chunks that speak of a step."""

import math

import numpy as np
import pytest

from flexlam_jax.acting.temporal_ensemble import push, restart, start

B, C, A, STEPS = 3, 4, 2, 9
CHUNKS = np.random.default_rng(0).standard_normal((STEPS, B, C, A)).astype(np.float32)


def plain(chunks, rate):
    """The actions of one episode, (steps, A), of its chunks (steps, C, A)."""
    actions = []
    for now in range(len(chunks)):
        about = [chunks[t][now - t] for t in range(now + 1) if now - t < C]  # The oldest first.
        weights = [math.exp(-rate * i) for i in range(len(about))]
        total = sum(w * a for w, a in zip(weights, about, strict=True))
        actions.append(total / sum(weights))
    return np.array(actions)


def pushed(chunks, rate):
    state, actions = start(chunks.shape[1], C, A), []
    for given in chunks:
        state, action = push(state, given, rate)
        actions.append(action)
    return np.array(actions)


@pytest.mark.parametrize("rate", [0.0, 0.01, 1.0, -0.5])
def test_it_is_what_a_plain_loop_gives(rate):
    found = pushed(CHUNKS, rate)
    for row in range(B):
        np.testing.assert_allclose(found[:, row], plain(CHUNKS[:, row], rate), rtol=1e-5, atol=1e-6)


def test_predictions_with_components_that_are_zero_count():
    chunks = CHUNKS.copy()
    chunks[..., 0] = 0.0
    chunks[2] = 0.0
    found = pushed(chunks, 0.1)
    for row in range(B):
        np.testing.assert_allclose(found[:, row], plain(chunks[:, row], 0.1), rtol=1e-5, atol=1e-6)


def test_the_oldest_counts_most_and_the_first_action_is_the_chunks_own():
    state, action = push(start(1, C, 1), np.ones((1, C, 1)))
    assert action == 1
    _, action = push(state, np.zeros((1, C, 1)), rate=math.log(3))
    np.testing.assert_allclose(action, 0.75)  # 1 to 1/3.


def test_an_episode_that_begins_anew_forgets_the_others_go_on():
    state = start(B, C, A)
    for given in CHUNKS[:3]:
        state, _ = push(state, given)
    state = restart(state, np.array([False, True, False]))
    _, action = push(state, CHUNKS[3])
    np.testing.assert_allclose(action[1], CHUNKS[3, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(action[0], plain(CHUNKS[:4, 0], 0.01)[-1], rtol=1e-5, atol=1e-6)


def test_chunks_of_another_shape():
    with pytest.raises(ValueError, match=r"chunks are \(3, 4\); this ensemble takes \(3, 4, 2\)"):
        push(start(B, C, A), CHUNKS[0, ..., 0])
