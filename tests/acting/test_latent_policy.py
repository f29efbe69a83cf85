"""Acting through latent actions, on tiny untrained parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.acting import latent_policy
from flexlam_jax.acting.latent_policy import LatentPolicy
from flexlam_jax.errors import UserError
from flexlam_jax.loading.translator import LoadedTranslator
from tests.acting.tiny_parts import CONTINUOUS, D, K, make_lam, make_policy, make_translator
from tests.models.tiny_lam import random_frames
from tests.untrained import SIZE

DRAWS, KEEP = 4, 2


@pytest.fixture(scope="module")
def lam():
    return make_lam()


@pytest.fixture(scope="module")
def parts(lam):
    return make_policy(lam), lam, make_translator(lam)


@pytest.fixture(scope="module")
def acting(parts):
    return LatentPolicy(*parts, keep=KEEP, draws=DRAWS)


@pytest.fixture(scope="module")
def frames():
    return random_frames((4, 3, SIZE, SIZE, 3))


SEEDS = np.array([3, 1, 4, 1], np.uint32)


def test_a_decision_is_the_mean_of_what_the_translator_says_of_each_draw(parts, acting, frames):
    policy, lam, translator = parts
    past = lam.tokens(frames[:, 1], frames[:, 2])[:, None]
    ids = policy.draws(frames, past, SEEDS, draws=DRAWS, keep=KEEP)
    tokens = np.pad(ids, [(0, 0), (0, 0), (0, K - KEEP)], constant_values=lam.null_id)
    slots = lam.slots_of(tokens.reshape(-1, K))
    np.testing.assert_array_equal(slots, lam.null_fill(slots, KEEP))
    expected = jax.nn.softmax(translator.outputs(slots)).reshape(4, DRAWS, -1).mean(1)
    decision = acting.decide(frames, SEEDS, predict=True)
    np.testing.assert_allclose(decision.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(decision.tokens, tokens[:, 0])
    predicted = lam.decode(frames[:, -1], slots.reshape(4, DRAWS, K, D)[:, 0])
    np.testing.assert_allclose(decision.prediction, predicted, atol=1e-5)
    np.testing.assert_array_equal(acting(frames, SEEDS), expected.argmax(-1))


def test_what_a_policy_says_of_itself(acting):
    assert acting.action_names == ("left", "right", "fire")
    assert (acting.history, acting.image_size) == (3, (SIZE, SIZE))


def test_a_row_does_not_depend_on_the_others_nor_on_the_batch(acting, frames):
    whole = acting.decide(frames, SEEDS)
    assert whole.prediction is None
    np.testing.assert_allclose(whole.probabilities.sum(-1), 1, rtol=1e-5)
    for rows in (slice(1, 2), slice(2, None)):
        part = acting.decide(frames[rows], SEEDS[rows])
        np.testing.assert_allclose(part.probabilities, whole.probabilities[rows], atol=1e-5)
        np.testing.assert_array_equal(part.tokens, whole.tokens[rows])
    other = acting.decide(frames, SEEDS + np.uint32(1))
    assert (other.tokens != whole.tokens).any()


def test_policies_that_differ_in_weights_alone_share_a_program(parts, acting, frames):
    acting.decide(frames, SEEDS)
    compiled = latent_policy._decide._cache_size()
    policy, lam, translator = parts
    flipped = LoadedTranslator(
        translator.network, jax.tree.map(jnp.negative, translator.variables), translator.config
    )
    other = LatentPolicy(policy, lam, flipped, keep=KEEP, draws=DRAWS).decide(frames, SEEDS)
    assert latent_policy._decide._cache_size() == compiled
    assert not np.allclose(other.probabilities, acting.decide(frames, SEEDS).probabilities)


def test_frames_of_a_gap_are_those_the_policy_was_trained_on(parts, acting, frames):
    policy, lam, translator = parts
    wide = LatentPolicy(make_policy(lam, gap=2), lam, translator, keep=KEEP, draws=DRAWS)
    assert wide.history == 5
    spread = random_frames((4, 5, SIZE, SIZE, 3), seed=9)
    spread[:, ::2] = frames
    np.testing.assert_allclose(
        wide.decide(spread, SEEDS).probabilities,
        acting.decide(frames, SEEDS).probabilities,
        atol=1e-5,
    )


def test_continuous_slots_and_actions(frames):
    lam = make_lam(CONTINUOUS)
    policy, translator = make_policy(lam, context=1), make_translator(lam, discrete=False)
    acting = LatentPolicy(policy, lam, translator, keep=KEEP, draws=DRAWS)
    given = frames[:, 1:]
    past = np.zeros((4, 0, K, D), np.float32)
    values = policy.draws(given, past, SEEDS, draws=DRAWS, keep=KEEP)
    slots = np.pad(values, [(0, 0), (0, 0), (0, K - KEEP), (0, 0)]).reshape(-1, K, D)
    expected = translator.outputs(lam.null_fill(slots, KEEP)).reshape(4, DRAWS, -1).mean(1)
    np.testing.assert_allclose(acting(given, SEEDS), expected, atol=1e-4)
    with pytest.raises(UserError, match="continuous action .left, right, fire. and no prob"):
        acting.decide(given, SEEDS)


def test_parts_that_do_not_belong_together(parts, lam):
    policy, _, translator = parts
    with pytest.raises(UserError, match="the translator was trained on .* another latent action m"):
        LatentPolicy(policy, lam, make_translator(lam, fingerprint="f" * 64), keep=1)
    stranger = make_policy(lam)
    stranger.lam = {"step": 7, "fingerprint": "e" * 64}
    with pytest.raises(UserError, match="the token policy was .*eeeeeeeeeeee, step 7"):
        LatentPolicy(stranger, lam, translator, keep=1)
    with pytest.raises(UserError, match="3 outputs but 2 names of actions"):
        LatentPolicy(policy, lam, make_translator(lam, names=("a", "b")), keep=1)
    larger = make_policy(lam)
    larger.frame_shape = (32, 32, 3)
    with pytest.raises(UserError, match=r"reads frames of \(32, 32, 3\), the latent .*\(16, 16, 3"):
        LatentPolicy(larger, lam, translator, keep=1)


@pytest.mark.parametrize("keep, draws", [(0, 1), (K + 1, 1), (1, 0)])
def test_a_budget_that_the_model_does_not_have(parts, keep, draws):
    with pytest.raises(UserError, match=f"keep={keep}, draws={draws}: .* 3 slots, so keep is 1..3"):
        LatentPolicy(*parts, keep=keep, draws=draws)


def test_frames_and_seeds_of_other_shapes(acting, frames):
    with pytest.raises(ValueError, match="the last 3 frames"):
        acting.decide(frames[:, :2], SEEDS)
    with pytest.raises(ValueError, match="one uint32 per row"):
        acting.decide(frames, SEEDS[:2])
