"""The objective of dynamics: what frozen models give it, what counts, and who feels it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.config.settings import read
from flexlam_jax.models.dynamics_settings import ActionSettings, build_dynamics, clip_shapes
from flexlam_jax.models.flops import program_flops
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.objectives.dynamics import FrozenModels, dynamics_objective
from flexlam_jax.objectives.frozen_lam import FrozenLam
from flexlam_jax.objectives.frozen_tokenizer import FrozenTokenizer
from tests.models.test_dynamics import MODEL
from tests.models.tiny_lam import random_frames, randomised
from tests.models.tiny_tokenizers import LIGHT
from tests.untrained import MODEL as LAM
from tests.untrained import SIZE

ROWS, T, K, D = 3, 4, 3, 2
SHAPE = (SIZE, SIZE, 3)
VQ = {**LIGHT, "quantizer": {"kind": "vq", "codes": 8, "width": 2}}
TOKENS = {"count": 4, "codebook_size": 8}
ACTIONS = {"slots": K, "slot_width": D, "keep": {"kind": "fixed", "count": 2}}
DRAFTING = {**MODEL, "drafts": True}


@pytest.fixture(scope="module")
def frozen():
    return FrozenModels(
        FrozenTokenizer(build_tokenizer(VQ), SHAPE), FrozenLam(build_lam(LAM), SHAPE, 1)
    )


@pytest.fixture(scope="module")
def batch():
    return {"frames": random_frames((ROWS, T, *SHAPE))}


@pytest.fixture(scope="module")
def built(frozen, batch):
    """(model, objective, variables)."""
    model = build_dynamics(DRAFTING, TOKENS, ACTIONS)
    objective = dynamics_objective(model, ACTIONS, clip_length=T, frozen=frozen)
    variables = randomised(dict(jax.jit(objective.init)(jax.random.key(0), batch)))
    assert set(variables["params"]) == {"dynamics", "tokenizer", "lam"}
    assert set(variables["codebook"]) == {"tokenizer"}
    return model, objective, variables


@pytest.fixture(scope="module")
def given(frozen, built, batch):
    """What the frozen models make of the batch: ids, null-filled slots and drafts."""
    params, codebook = built[2]["params"], built[2]["codebook"]["tokenizer"]
    tokenizer, lam = frozen.tokenizer.model, {"params": params["lam"]}
    of = {"params": params["tokenizer"], "codebook": codebook}
    ids = np.asarray(tokenizer.apply(of, batch["frames"], method="encode").ids)
    slots, _ = frozen.lam.model.apply(lam, batch["frames"], method="encode")
    slots = np.where(np.arange(K)[:, None] < 2, slots, params["lam"]["null"]).astype(np.float32)

    def pixels(frames):
        return np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8)

    values = tokenizer.apply(of, ids, method="values_of")
    shown = pixels(tokenizer.apply(of, values, method="decode"))[:, :-1]
    made = pixels(frozen.lam.model.apply(lam, shown, slots, method="decode"))
    drafts = np.asarray(tokenizer.apply(of, made, method="encode").ids)
    assert (drafts != ids[:, 1:]).any()
    return ids, slots, drafts


def gradient(objective, variables, batch, key):
    extra = {name: tree for name, tree in variables.items() if name != "params"}

    def loss(params):
        outcome = objective.outcome(params, extra, batch, key)
        return objective.loss(outcome.terms), outcome

    return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])


def test_frozen_models_do_not_feel_the_loss_and_stay_as_they_are(built, batch):
    _, objective, variables = built
    grads, outcome = gradient(objective, variables, batch, jax.random.key(1))
    for part in ("tokenizer", "lam"):
        assert not any(np.asarray(x).any() for x in jax.tree.leaves(grads[part])), part
    assert all(np.asarray(x).any() for x in jax.tree.leaves(grads["dynamics"]))
    jax.tree.map(np.testing.assert_array_equal, outcome.extra["codebook"], variables["codebook"])
    values, count = objective.values(outcome), outcome.terms["cross_entropy"].weight
    assert 0.4 * ROWS * (T - 1) * 4 < count < ROWS * (T - 1) * 4
    np.testing.assert_allclose(values["perplexity"], np.exp(values["cross_entropy"]), rtol=1e-5)


def test_the_loss_is_that_of_hidden_tokens_of_frozen_models(frozen, built, batch, given):
    """With all of them hidden it can be counted by hand."""
    model, _, variables = built
    ids, actions, drafts = given
    hidden = np.broadcast_to((np.arange(T) > 0)[:, None], ids.shape)
    of = {"params": variables["params"]["dynamics"]}
    logits = model.apply(of, ids, hidden, actions, drafts)
    log_p = np.asarray(jax.nn.log_softmax(logits))
    nats = -np.take_along_axis(log_p, ids[:, 1:, :, None], axis=-1)
    objective = dynamics_objective(
        model, ACTIONS, {"mask": (1.0, 1.0)}, clip_length=T, frozen=frozen
    )
    extra = {"codebook": variables["codebook"]}
    run = jax.jit(objective.outcome)
    found = objective.values(run(variables["params"], extra, batch, jax.random.key(2)))
    np.testing.assert_allclose(found["loss"], nats.mean(), rtol=1e-4)
    np.testing.assert_allclose(found["accuracy"], (log_p.argmax(-1) == ids[:, 1:]).mean())
    np.testing.assert_allclose(found["copy_accuracy"], (ids[:, :-1] == ids[:, 1:]).mean())
    assert len(np.unique(ids)) > 2 and not (actions[0] == actions[1]).all()


def test_prefixes_are_drawn_anew_and_true_actions_are_one_slot(built):
    """On paper: ids and slots stand for what frozen models make."""
    variables = {"params": {"dynamics": built[2]["params"]["dynamics"]}}
    batch = {
        "ids": np.zeros((ROWS, T, 4), np.int32),
        "slots": np.ones((ROWS, T - 1, K, D), np.float32),
        "drafts": np.zeros((ROWS, T - 1, 4), np.int32),
    }
    objective = dynamics_objective(
        built[0], {**ACTIONS, "keep": {"kind": "uniform"}}, clip_length=T
    )
    run = jax.jit(lambda key: objective.outcome(variables["params"], {}, batch, key).terms)
    losses = {float(run(jax.random.key(key))["cross_entropy"].value) for key in range(3)}
    assert len(losses) == 3
    actions = {"slots": 1, "slot_width": 3, "discrete": True}
    model = build_dynamics({**MODEL, "action": "true"}, TOKENS, actions)
    objective = dynamics_objective(model, actions, clip_length=T)
    taken = {"ids": batch["ids"], "action": np.zeros((ROWS, T - 1), np.int32)}
    params = jax.eval_shape(objective.init, jax.random.key(0), taken)["params"]["dynamics"]
    assert params["project"]["kernel"].shape == (3, MODEL["width"])
    shapes = jax.eval_shape(objective.outcome, {"dynamics": params}, {}, taken, jax.random.key(0))
    assert set(shapes.terms) == {"cross_entropy"}


def test_flops_are_those_of_what_has_a_gradient(frozen, built, batch):
    _, objective, variables = built
    row = {"frames": jnp.asarray(batch["frames"][:1])}
    extra = {"codebook": variables["codebook"]}
    whole = program_flops(
        lambda p, b: objective.outcome(p, extra, b, jax.random.key(1)).terms,
        variables["params"],
        row,
    )
    drafting = objective.flops_per_row - 3 * _plain_flops(frozen, built[0])
    encoding = frozen.tokenizer.flops(T), frozen.lam.flops(T - 1, 0, 0)
    assert min(encoding) > 0 and drafting > sum(encoding)
    assert objective.flops_per_row == pytest.approx(3 * whole - 2 * drafting)


def _plain_flops(frozen, model):
    shapes = clip_shapes(model, read("actions", ACTIONS, ActionSettings), T)
    variables = jax.eval_shape(model.init, jax.random.key(0), *shapes)
    return program_flops(model.apply, variables, *shapes)
