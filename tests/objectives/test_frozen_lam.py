"""A frozen latent action model in the loss of skills: the same numbers as outside, no gradient to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.flops import program_flops
from flexlam_jax.models.hilam import build_hilam
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.frozen_lam import FrozenLam, drawn_steps
from flexlam_jax.objectives.hilam import LatentSource, hilam_objective
from tests.models.test_hilam import MODEL
from tests.models.tiny_lam import random_frames, randomised, tiny_config

ROWS, T, GAP, SIZE = 2, 5, 2, 16
KEEP, K, D = 2, 3, 2
LAM = build_lam(tiny_config())  # Three slots of two numbers.
CODES = {"slots": K, "codebook_size": 0, "slot_width": D}
LATENTS = {"mean": [0.2, -0.1, 0.1, 0.3], "scale": [0.5, 0.6, 0.7, 0.8]}
LOSS = {"reconstruction": 2.0, "reconstruction_steps": 3, "pixel": "l1"}


@pytest.fixture(scope="module")
def frozen():
    return FrozenLam(LAM, (SIZE, SIZE, 3), GAP)


@pytest.fixture(scope="module")
def batch():
    """Two rows, the second of which ends after five frames: it has three latent actions."""
    mask = np.arange(T + GAP) < np.array([[T + GAP], [5]])
    frames = random_frames((ROWS, T + GAP, SIZE, SIZE, 3))
    frames[~mask] = 0
    return {"frame_chunk": frames, "frame_chunk_mask": mask}


@pytest.fixture(scope="module")
def built(frozen, batch):
    """(objective, params, what jitted gradient and outcome are)."""
    model = build_hilam({**MODEL, "keep": KEEP}, CODES, LATENTS)
    objective = hilam_objective(
        model, MODEL["targets"], LOSS, length=T, source=LatentSource("", frozen)
    )
    params = randomised(jax.jit(objective.init)(jax.random.key(0), batch)["params"])

    @jax.jit
    def gradient(params, batch):
        def loss(params):
            outcome = objective.outcome(params, {}, batch, jax.random.key(1))
            return objective.loss(outcome.terms), outcome

        return jax.grad(loss, has_aux=True)(params)

    return objective, params, gradient


@pytest.fixture(scope="module")
def slots(built, batch):
    """What the model says of each pair of frames, one by one: (B, T, K, D)."""
    variables, frames = {"params": built[1]["lam"]}, batch["frame_chunk"]
    pairs = np.stack([frames[:, :T], frames[:, GAP:]], axis=2).reshape(-1, 2, *frames.shape[2:])
    encode = jax.jit(lambda variables, pairs: LAM.apply(variables, pairs, method="encode")[0])
    return np.asarray(encode(variables, pairs)).reshape(ROWS, T, K, D)


def test_latent_actions_are_those_of_the_pairs_of_frames(frozen, built, batch, slots):
    found = jax.jit(frozen.encode, static_argnums=2)(
        {"params": built[1]["lam"]}, batch["frame_chunk"], T
    )
    np.testing.assert_allclose(found, slots, atol=1e-5)
    assert len(np.unique(slots.reshape(-1, K * D), axis=0)) > 5


def test_encoding_inside_the_loss_is_reading_what_was_encoded(built, batch, slots):
    objective, params, gradient = built
    column = {
        "slots_chunk": slots,
        "slots_chunk_mask": batch["frame_chunk_mask"][:, GAP:],
    }
    column["slots_chunk"] = np.where(column["slots_chunk_mask"][..., None, None], slots, 0)
    other = hilam_objective(
        build_hilam({**MODEL, "keep": KEEP}, CODES, LATENTS), MODEL["targets"], length=T
    )
    read = jax.jit(lambda p, b: other.outcome(p, {}, b, jax.random.key(1)))
    of_column = read({k: v for k, v in params.items() if k != "lam"}, column)
    _, of_frames = gradient(params, batch)
    assert of_frames.terms.keys() == of_column.terms.keys() | {"reconstruction"}
    for name, term in of_column.terms.items():
        np.testing.assert_allclose(of_frames.terms[name].value, term.value, rtol=1e-4)
        np.testing.assert_allclose(of_frames.terms[name].weight, term.weight)


def test_skills_feel_the_reconstruction_and_the_frozen_model_nothing(built, batch):
    objective, params, gradient = built
    grads, outcome = gradient(params, batch)
    assert all(not np.asarray(x).any() for x in jax.tree.leaves(grads["lam"]))
    assert float(outcome.terms["reconstruction"].value) > 0

    def reconstruction(params):
        return objective.outcome(params, {}, batch, jax.random.key(1)).terms["reconstruction"].value

    alone = jax.jit(jax.grad(reconstruction))(params)
    for part in ("embed", "head", "nest"):
        assert any(np.asarray(x).any() for x in jax.tree.leaves(alone[part])), part
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(alone))


def test_flops_are_those_of_what_has_a_gradient(frozen, built, batch):
    objective, params, _ = built
    row = {name: array[:1] for name, array in batch.items()}
    whole = program_flops(
        lambda p, b: objective.outcome(p, {}, b, jax.random.key(1)).terms, params, row
    )
    encoding, decoding = (
        frozen.flops(*steps, KEEP * D) for steps in ((T, 0), (0, LOSS["reconstruction_steps"]))
    )
    assert encoding > 0 and decoding > 0
    skills = whole - encoding - decoding / 2
    assert objective.flops_per_row == pytest.approx(3 * skills + encoding + decoding)


def test_the_decoded_frame_is_that_of_the_expected_latent_action(frozen, built, batch, slots):
    """Of each pair of steps: o_{t+1}, the expectation at t, null-filled, against o_{t+1+gap}."""
    variables, frames = {"params": built[1]["lam"]}, batch["frame_chunk"]
    expected = slots[..., :KEEP, :].reshape(ROWS, T, -1)
    valid = batch["frame_chunk_mask"][:, GAP:]
    found = jax.jit(frozen.next_frames, static_argnums=4)(
        variables, expected, valid, frames, T, jax.random.key(0)
    )
    assert found.prediction.shape == (ROWS, T - 1, SIZE, SIZE, 3)  # No more than there are.
    np.testing.assert_array_equal(found.held.sum(1), [4, 2])
    filled = slots.copy()
    filled[:, :, KEEP:] = np.asarray(built[1]["lam"]["null"])
    decode = jax.jit(lambda o_t, z: LAM.apply(variables, o_t, z, method="decode"))
    for row in range(ROWS):
        steps = int(valid[row].sum()) - 1
        true = decode(frames[row, 1 : steps + 1], filled[row, :steps])
        target = frames[row, 1 + GAP : steps + 1 + GAP] / np.float32(255)
        for got, wanted in ((found.prediction, true), (found.target, target)):
            got = np.asarray(got)[row][np.asarray(found.held)[row]].reshape(steps, -1)
            wanted = np.asarray(wanted).reshape(steps, -1)
            order, of = np.lexsort(got.T), np.lexsort(wanted.T)
            np.testing.assert_allclose(got[order], wanted[of], atol=1e-5)


def test_steps_are_drawn_among_the_valid_ones_by_the_key():
    valid = jnp.asarray(np.arange(6) < np.array([[6], [2], [0]]))
    draw = jax.jit(drawn_steps, static_argnums=2)
    counts = np.zeros(6)
    for number in range(60):
        step, held = map(np.asarray, draw(jax.random.key(number), valid, 3))
        np.testing.assert_array_equal(held.sum(1), [3, 2, 0])
        assert len(set(step[0])) == 3 and set(step[1][held[1]]) == {0, 1}
        counts[step[0]] += 1
    assert counts.min() > 15  # 30 are expected.
    again = [np.asarray(draw(jax.random.key(7), valid, 3)[0]) for _ in range(2)]
    np.testing.assert_array_equal(*again)
