"""What is cut of a world for browsers says what the world does; graphs of ONNX say what JAX does."""

import copy
import types

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from flexlam_jax.errors import UserError
from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.models.spacetime import FrameCache
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.serving import browser
from flexlam_jax.serving.functions import Argument, Function
from flexlam_jax.serving.onnx.convert import to_onnx
from flexlam_jax.world.lam_world import LamWorld
from tests.models.tiny_lam import random_frames
from tests.models.tiny_tokenizers import SPACETIME
from tests.serving.drafting_world import drafting_world
from tests.untrained import SIZE
from tests.world.tiny_world import tiny_tokenizer, tiny_world


@pytest.fixture(scope="module")
def world():
    return browser.half_precision(drafting_world())


def evaluated(data, given):
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    found = ReferenceEvaluator(model).run(None, given)
    return dict(zip([output.name for output in model.graph.output], found, strict=True))


def arguments_of(function, seed=0):
    """Random ones; two frames so far."""
    rng = np.random.default_rng(seed)
    given = {}
    for name, shape, dtype, _ in function.arguments:
        shape = tuple(1 if size == "b" else size for size in shape)
        given[name] = rng.standard_normal(shape).astype(dtype)
        if dtype == np.uint8:
            given[name] = rng.integers(0, 256, shape, np.uint8)
        if dtype == np.int32:
            given[name] = np.full(shape, 2, dtype) if name == "count" else rng.integers(0, 8, shape)
            given[name] = given[name].astype(np.int32)
    return given


@pytest.mark.parametrize("changes", [{}, {"enters": "token", "action": "true", "qk_norm": False}])
def test_graphs_compute_what_the_functions_do(world, changes):
    one = browser.half_precision(tiny_world(**changes)) if changes else world
    for function in browser.functions_of(one):
        given = arguments_of(function)
        found = evaluated(to_onnx(function), given)
        wanted = jax.jit(function.call)(*given.values())
        assert set(found) == set(wanted) == set(function.results)
        for name, array in wanted.items():
            assert found[name].dtype == array.dtype and np.ptp(array)
            within = 1 if array.dtype == np.uint8 else 1e-4  # Pixels are rounded.
            difference = np.abs(found[name].astype(np.float64) - array).max()
            assert difference <= within, (name, difference)


def test_a_play_of_passes_is_a_play_of_the_world(world):
    """A start of three frames and a step at temperature 0, by `look` and `FrameCache.write` alone."""
    frames = random_frames((3, SIZE, SIZE, 3), seed=4)
    codes = np.float32([[[1, -1], [0.5, 0], [0, 1]]])
    look, show, draft = (jax.jit(function.call) for function in browser.functions_of(world))
    layers, positions, kept, numbers = browser.cache_shape(world)
    heads = world.dynamics.block.heads
    empty = jnp.zeros((layers, 1, positions, kept, heads, numbers // heads))
    cache = FrameCache(empty, empty, jnp.zeros(1, jnp.int32))

    def written(ids, lead, cache, drafted):
        read = look(ids, lead, cache.keys, cache.values, cache.count, drafted)
        return cache.write((read["new_keys"], read["new_values"]))

    ids, leads, drafts = browser.start_of(world, frames)
    assert ids.shape == (3, world.dynamics.tokens) and leads.shape == (3, world.dynamics.width)
    for number in range(3):
        cache = written(ids[None, number], leads[None, None, number], cache, drafts[None, number])
    state = world.start(frames[None])
    for one, other in zip(jax.tree.leaves(cache), jax.tree.leaves(state.cache), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)

    keep = np.int32([1])
    slots = null_fill(codes, keep, world.variables["null"])
    lead, drafted = (
        browser.leads_of(world, slots),
        draft(show(ids[None, -1])["frames"], slots)["draft"],
    )
    hidden = np.full((1, world.dynamics.tokens), world.dynamics.codes, np.int32)
    logits = look(hidden, lead[None], cache.keys, cache.values, cache.count, drafted)["logits"]
    drawn = np.argmax(logits, axis=-1).astype(np.int32)
    picture, after = world.step(state, codes, keep, steps=1, temperature=0.0)
    assert np.abs(show(drawn)["frames"].astype(int) - picture).max() <= 1
    last = written(drawn, lead[None], cache, drafted)
    np.testing.assert_allclose(last.keys, after.cache.keys, atol=1e-5)


def test_parameters_are_kept_in_half_precision_and_once(world):
    look, *_ = browser.functions_of(world)
    data = to_onnx(look)
    kept = {tensor.data_type for tensor in onnx.load_from_string(data).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kept
    parameters = sum(array.size for array in jax.tree.leaves(world.variables["dynamics"]))
    assert 2 * parameters < len(data) < 2 * parameters + 60_000  # And what the nodes take.
    large = copy.copy(world)
    large.variables = {**world.variables, "dynamics": {"params": {"table": jnp.full(3, 1e6)}}}
    with pytest.raises(UserError, match=r"parameters reach 1e\+06, beyond"):
        browser.half_precision(large)


def graph_of(call, *shapes):
    arguments = [
        Argument(f"x{number}", shape, dtype, "") for number, (shape, dtype) in enumerate(shapes)
    ]
    function = Function("f", "", tuple(arguments), {"y": ""}, lambda *x: {"y": call(*x)})
    given = arguments_of(function)
    found = evaluated(to_onnx(function), given)["y"]
    np.testing.assert_allclose(found, call(*given.values()), atol=1e-5)


def test_loops_broadcasts_and_integers():
    numbers, ids = ((3, 4), np.float32), ((3, 2), np.int32)

    def loop(x):
        step = lambda total, row: (total + row * x[0], total.sum())
        return jax.lax.scan(step, x[1], x, reverse=True)[1]

    graph_of(loop, numbers)
    graph_of(lambda x: jnp.broadcast_to(x[:, None], (3, 2, 4)) + 1.0, numbers)
    graph_of(lambda x: jnp.concatenate([jnp.broadcast_to(x[:1], (3, 4)), x]), numbers)
    graph_of(
        lambda x, i: jnp.einsum("ij,kj->ki", x, x)[:, :2] * ((i - 5) // 3 + (i - 5) % 3),
        numbers,
        ids,
    )
    graph_of(
        lambda x: jnp.concatenate(jnp.split(jnp.pad(x, ((1, 0), (0, 0)), mode="edge"), 2)[::-1]),
        numbers,
    )
    graph_of(lambda x: jax.nn.softmax(jnp.pad(x, ((0, 0), (1, 2)))) ** 3, numbers)
    with pytest.raises(UserError, match="f cannot be written as ONNX: .* 'cumsum'"):
        graph_of(lambda x: jnp.cumsum(x, 0), numbers)


def test_worlds_that_are_not_cut_say_which_are(world):
    def other(**change):
        one = copy.copy(world)
        one.dynamics = world.dynamics.clone(**change)
        return one

    looking_back = copy.copy(world)
    looking_back.tokenizer = types.SimpleNamespace(model=build_tokenizer(SPACETIME))
    refused = {
        "a file is made of dynamics": LamWorld(world.latent_actions),
        "of kind 'maskgit'": other(kind="causal"),
        "trained without actions": other(action="none"),
        "halves are of kind 'light'": looking_back,
    }
    for told, one in refused.items():
        with pytest.raises(UserError, match=told):
            browser.check_world(one)


def test_tokens_of_a_codebook_are_looked_up(world):
    one = copy.copy(world)
    section = {
        **world.tokenizer.config["model"],
        "quantizer": {"kind": "vq", "codes": 8, "width": 2},
    }
    one.tokenizer = tiny_tokenizer(section)
    _, show, _ = browser.functions_of(one)
    given = arguments_of(show)
    found = evaluated(to_onnx(show), given)["frames"]
    assert np.abs(found.astype(int) - one.tokenizer.decode(given["ids"][:, None])[:, 0]).max() <= 1
    assert np.ptp(found)
