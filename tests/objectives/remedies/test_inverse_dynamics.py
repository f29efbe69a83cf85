"""Multi-step inverse dynamics, and the feature space that it alone shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.feature_head import FeatureEncoder
from flexlam_jax.models.heads import HEADS
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.lam_finetune import finetune_objective, supervision
from flexlam_jax.objectives.remedies.inverse_dynamics import InverseDynamics
from tests.objectives.remedies.linear_lam import (
    CONFIG,
    SIZE,
    batch_of,
    linear_model,
    size,
    slots_reached,
    term,
)

TRANSLATOR = {"outputs": 3, "hidden": 4}
SPACE = {"feature": 1.0, "feature_space": "inverse", "feature_width": 4}


def labelled(rows=6, steps=2, seed=1):
    rng = np.random.default_rng(seed)
    chunk = rng.integers(0, 256, (rows, steps + 1, SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.ones((rows, steps + 1), bool)
    mask[0, 2:] = False
    return {
        "frames": jnp.asarray(chunk[:, :2]),
        "frame_chunk": jnp.asarray(chunk),
        "frame_chunk_mask": jnp.asarray(mask),
        "action": jnp.asarray(rng.integers(0, 3, (rows, 1)), jnp.int32),
    }


def both(loss=None, **translator):
    config, model = TRANSLATOR | translator, linear_model()
    lam = lam_objective(model, CONFIG, loss or {}, **supervision(config))
    return finetune_objective(lam, model, CONFIG, config, feature_width=4)


def built(objective):
    batch = {"video": batch_of(), "labelled": labelled()}
    extra = dict(jax.jit(objective.init)(jax.random.key(0), batch))
    params = extra.pop("params")
    params[HEADS]["action"]["out"]["kernel"] += 0.3  # Begins near zero.
    return batch, params, extra


def test_actions_alone_shape_the_space_and_only_the_code_follows_it():
    objective = both(SPACE, steps=2)
    batch, params, extra = built(objective)
    params["lam"][HEADS]["feature"]["predictor"]["change"]["kernel"] += 0.3
    assert objective.coefficients["inverse"] == 1.0

    @jax.jit
    def gradients(params):
        terms = [term(objective, extra, batch, name) for name in ("inverse", "feature")]
        return [jax.grad(value)(params) for value in terms]

    inverse, feature = gradients(params)
    assert size(inverse[HEADS]["inverse"]) > 0
    assert size(inverse["lam"][HEADS]["feature"]["encoder"]) > 0
    assert size(inverse["lam"]["encoder"]) == size(inverse["lam"]["decoder"]) == 0
    feature = feature["lam"]
    assert size(feature[HEADS]["feature"]["encoder"]) == 0
    assert size(feature["encoder"]) > 0 and size(feature["decoder"]) == 0


@pytest.mark.parametrize("j", [0, 1, 2])
def test_actions_supervise_the_first_slots(j):
    objective = both({"own": "stopped"} if j else {}, slots=j)
    batch, params, extra = built(objective)
    names = ("action", "reconstruction")
    actions, pixels = slots_reached(
        objective, params, extra, batch, *names, seeds=range(2), part=("lam",)
    )
    assert actions == ([True] * j + [False] * (3 - j) if j else [True] * 3)
    assert pixels == [False] * j + [True] * (3 - j)


def test_steps_are_those_that_the_episode_has():
    """Frames behind the end of an episode change nothing, those before it do."""
    inverse = InverseDynamics(3, True, 2, 4, 0.0)
    batch = labelled()
    encoder = FeatureEncoder(4).init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))["params"]
    head = inverse.init(jax.random.key(1))

    @jax.jit
    def error(batch, key):
        return inverse.error(head, encoder, batch, key).value

    beyond = batch | {"frame_chunk": batch["frame_chunk"].at[0, 2].set(0)}
    within = batch | {"frame_chunk": batch["frame_chunk"].at[1, 2].set(0)}
    keys = jax.random.split(jax.random.key(2), 8)
    assert all(error(batch, key) == error(beyond, key) for key in keys)
    changed = [bool(error(batch, key) != error(within, key)) for key in keys]
    assert any(changed) and not all(changed)  # Drawn among one and two steps.


def test_a_nat_costs():
    batch = labelled()
    free, dear = (InverseDynamics(3, True, 2, 4, cost) for cost in (0.0, 1.0))
    module = FeatureEncoder(4)
    encoder = module.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))["params"]
    head, key = free.init(jax.random.key(1)), jax.random.key(2)
    more = dear.error(head, encoder, batch, key).value - free.error(head, encoder, batch, key).value
    assert more > 0
    none = jax.tree.map(jnp.zeros_like, encoder)
    np.testing.assert_allclose(
        dear.error(head, none, batch, key).value, free.error(head, none, batch, key).value
    )


@pytest.mark.parametrize(
    ("loss", "translator", "words"),
    [
        ({}, {"slots": 4}, "config.translator.slots=4 of config.model.slots=3"),
        ({}, {"steps": 2}, "give both or neither"),
        (SPACE, {}, "give both or neither"),
        ({"own": "stopped"}, {}, "config.translator.slots"),
    ],
)
def test_what_it_refuses(loss, translator, words):
    with pytest.raises(ConfigError, match=words):
        both(loss, **translator)


def test_labelled_rows_need_the_frames_after():
    objective = both(SPACE, steps=2)
    batch, params, extra = built(objective)
    less = {k: v for k, v in batch["labelled"].items() if k != "frame_chunk"}
    with pytest.raises(ConfigError, match="data.frame_chunk=3"):
        objective.outcome(params, extra, batch | {"labelled": less}, jax.random.key(0))
