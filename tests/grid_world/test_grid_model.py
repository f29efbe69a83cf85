"""The grid world's model and its loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.grid_world import world
from flexlam_jax.grid_world.loss import COMMITMENT, Batch, loss
from flexlam_jax.grid_world.model import Conv, GridLam, initial_params

MODEL = GridLam(slots=2, channels=4)
SPREAD = 0.5


@pytest.fixture(scope="module")
def params():
    return initial_params(MODEL, jax.random.key(0), SPREAD)


def batch_of(**changes):
    walk = jax.tree.map(jnp.asarray, world.play(world.policy("uniform"), 8, seed=0))
    o = world.frames(walk.cell, walk.noise, 1.0)
    o_next = world.frames(walk.next_cell, walk.next_noise, 1.0)
    nothing, keep = jnp.zeros(8), jnp.full(8, 2)
    batch = Batch(o, o_next, o, o_next, walk.action, nothing, keep, jnp.zeros(5, int))
    return batch._replace(**changes)


def test_the_convolution_is_one(params):
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    layer = Conv(5)
    variables = layer.init(jax.random.key(2), x)
    kernel = variables["params"]["Dense_0"]["kernel"].reshape(3, 3, 3, 5)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


def test_initial_parameters_are_those_of_the_module_with_their_scales(params):
    frame = jnp.zeros((1, 4, 4))
    shapes = jax.tree.map(jnp.shape, MODEL.init(jax.random.key(0), frame, frame)["params"])
    assert jax.tree.map(jnp.shape, params) == shapes
    wide = initial_params(GridLam(channels=32), jax.random.key(1), SPREAD)
    kernel = wide["inverse_model"]["Conv_1"]["Dense_0"]["kernel"]
    assert kernel.std() * kernel.shape[0] ** 0.5 == pytest.approx(1, abs=0.05)
    assert wide["codebook"].std() == pytest.approx(SPREAD, abs=0.15)
    assert not wide["null"].any() and not wide["inverse_model"]["Dense_0"]["bias"].any()
    flat = [leaf.ravel()[:4] for leaf in jax.tree.leaves(wide) if leaf.any()]
    assert len({float(jnp.abs(one / one[0]).sum()) for one in flat}) == len(flat), "drawn anew"


def test_the_forward_model_is_told_the_prefix_and_nothing_else_of_what_comes(params):
    batch = batch_of()

    @jax.jit  # Compiled as a whole: by itself, every operation of every shape is a program.
    def predicted(o_next, keep):
        values = MODEL.apply({"params": params}, batch.o, o_next, method="infer").values
        return MODEL.apply({"params": params}, batch.o, values, jnp.full(8, keep), method="predict")

    slope = jax.jit(jax.grad(lambda o_next, keep: jnp.abs(predicted(o_next, keep)).sum()))
    for keep, told in ((0, False), (1, True)):
        assert bool(np.abs(slope(batch.o_next, keep)).sum() > 0) is told
    one, two = (np.asarray(predicted(batch.o_next, keep)) for keep in (1, 2))
    assert np.abs(one - two).max() > 1e-4


def test_the_loss_is_the_sum_that_it_says(params):
    params = {**params, "codebook": params["codebook"].at[4].set(100.0)}  # Nobody takes this one.
    labels = jnp.where(jnp.arange(8) < 2, 4.0, 0.0)
    batch = batch_of(label_weight=labels, other=jnp.arange(5))
    code = MODEL.apply({"params": params}, batch.o, batch.o_next, method="infer")
    said = MODEL.apply({"params": params}, batch.given, code.values, batch.keep, method="predict")
    codes = params["codebook"]
    to_code = jnp.square(code.z - codes[code.ids]).mean()
    parts = jnp.square(said - batch.target).mean() + (1 + COMMITMENT) * to_code
    to_label = jnp.square(code.z[:2, 0] - codes[batch.action[:2]]).mean()
    parts += to_label  # A quarter of the samples, each with weight four.
    found = jax.jit(lambda revive, batch: loss(MODEL, params, revive, batch))
    assert found(0.0, batch) == pytest.approx(float(parts), rel=1e-5)
    used = np.isin(np.arange(5), code.ids)
    assert not used[4]
    other = code.z.reshape(-1, 8)[:5]
    pull = jnp.square(other - codes)[~used].sum() / codes.size
    pulled = found(1.0, batch)
    assert pulled == pytest.approx(float(parts + pull), rel=1e-5)


def test_gradients_move_the_encoder_through_the_code_and_unused_codes_only_by_revival(params):
    far = {**params, "codebook": params["codebook"].at[4].set(100.0)}
    batch = batch_of(other=jnp.arange(5))
    slope = jax.jit(jax.grad(lambda p, revive: loss(MODEL, p, revive, batch)))
    plain, revived = jax.tree.map(np.asarray, [slope(far, 0.0), slope(far, 1.0)])
    assert not plain["codebook"][4].any() and (revived["codebook"][4] > 0).all()
    reached = jax.tree.map(lambda x: bool(np.abs(x).sum() > 0), plain["inverse_model"])
    assert all(jax.tree.leaves(reached))
