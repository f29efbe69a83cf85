"""A causal model of latent actions: read at once, or go on from a cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.slot_distributions import Categorical, Digits, Mixture
from flexlam_jax.models.token_policy import build_token_policy, clip_shapes
from tests.models.tiny_lam import random_frames, randomised

K, V, D, T, S = 3, 5, 2, 2, 2
MODEL = {
    "image_size": 16,
    "context": T,
    "trunk": {
        "kind": "frame_stack",
        "stack": S,
        "patch": 4,
        "channels": 8,
        "coarse": 8,
        "width": 16,
    },
    "width": 16,
    "heads": 2,
    "mlp_hidden": 32,
    "components": 3,
}
CODES = {
    "discrete": {"slots": K, "codebook_size": V, "slot_width": D},
    "digits": {"slots": K, "codebook_size": 105, "slot_width": 3, "levels": [3, 5, 7]},
    "continuous": {"slots": K, "codebook_size": 0, "slot_width": D},
}


def random_codes(kind, *shape):
    rng = np.random.default_rng(1)
    if kind != "continuous":
        return rng.integers(0, CODES[kind]["codebook_size"], (*shape, K), np.int32)
    return rng.normal(size=(*shape, K, D)).astype(np.float32)


@pytest.fixture(scope="module", params=CODES)
def built(request):
    """(kind, model, variables, frames, codes) of four rows."""
    model = build_token_policy(MODEL, CODES[request.param])
    frames, codes = random_frames((4, T + S - 1, 16, 16, 3)), random_codes(request.param, 4, T)
    variables = randomised(jax.jit(model.init)(jax.random.key(0), frames, codes), scale=0.2)
    return request.param, model, variables, frames, codes


def bound(head):
    """A distribution whose functions can be called; their parameters are given them."""
    codes = jnp.zeros((1, *head.codes_are.shape), head.codes_are.dtype)
    return head.bind(head.init(jax.random.key(0), codes, method="embed"))


def call(model, method, **static):
    return jax.jit(lambda variables, *args: model.apply(variables, *args, **static, method=method))


def test_going_on_from_a_cache_gives_what_reading_at_once_gives(built):
    kind, model, variables, frames, codes = built
    draws = 3
    present = np.moveaxis(random_codes(kind, draws, 4), 0, 1)  # Of each row and draw.
    at_once = call(model, "__call__")

    @jax.jit
    def step_by_step(variables, frames, past, present):
        first, cache = model.apply(variables, frames, past, method="read")
        found = [jnp.repeat(first[:, None], draws, 1)]
        for slot in range(K - 1):
            parameters, cache = model.apply(
                variables, present[:, :, slot], slot, cache, method="go_on"
            )
            found.append(parameters)
        return jnp.stack(found, axis=2)

    found = step_by_step(variables, frames, codes[:, :-1], present)
    for draw in range(draws):
        whole = np.concatenate([codes[:, :-1], present[:, draw, None]], axis=1)
        expected = at_once(variables, frames, whole)[:, -1]
        np.testing.assert_allclose(found[:, draw], expected, atol=2e-5)


def test_nothing_depends_on_what_comes_later():
    model = build_token_policy(MODEL, CODES["continuous"])
    frames = np.asarray(random_frames((1, T + S - 1, 16, 16, 3)), np.float32) / 255
    codes = random_codes("continuous", 1, T)
    variables = randomised(jax.jit(model.init)(jax.random.key(0), frames, codes), scale=0.2)

    @jax.jit
    @jax.jacobian
    def sensitivity(given):
        return model.apply(variables, *given).sum((0, -1))  # (T, K)

    by_frame, by_code = sensitivity((frames, codes))
    by_frame = np.abs(by_frame).max((2, 4, 5, 6))  # (T, K, frames)
    by_code = np.abs(by_code).max((2, 5)).reshape(T * K, T * K)
    allowed = np.tri(T * K, k=-1, dtype=bool)  # A slot reads those before it, not itself.
    assert (by_code[allowed] > 0).all() and (by_code[~allowed] == 0).all()
    for step in range(T):
        seen = np.arange(T + S - 1) <= step + S - 1
        assert (by_frame[step][:, seen] > 0).all() and (by_frame[step][:, ~seen] == 0).all()


def test_draws_are_a_function_of_their_row_and_seed(built):
    kind, model, variables, frames, codes = built
    past, seeds = codes[:, :-1], np.array([7, 8, 9, 7], np.uint32)
    frames = frames.copy()
    frames[3], past = frames[0], np.concatenate([past[:3], past[:1]])
    draw = jax.jit(
        lambda variables, *args, **counts: model.apply(variables, *args, **counts, method="draw"),
        static_argnames=("draws", "keep"),
    )
    whole = np.asarray(draw(variables, frames, past, seeds, draws=5, keep=K))
    assert whole.shape[:3] == (4, 5, K)
    same = np.testing.assert_array_equal
    if kind == "continuous":
        same = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    rows = slice(1, 3)
    fewer = draw(variables, frames[rows], past[rows], seeds[rows], draws=2, keep=K - 1)
    same(fewer, whole[rows, :2, : K - 1])
    same(whole[3], whole[0])
    other = np.asarray(draw(variables, frames, past, seeds + np.uint32(1), draws=5, keep=K))
    assert (other != whole).any((1, 2, 3) if kind == "continuous" else (1, 2)).all()
    assert len(np.unique(whole[0].reshape(5, -1), axis=0)) > 1


def test_a_softmax_is_drawn_from_as_its_probabilities_say():
    head = bound(Categorical(K, V, 4))
    logits = np.log([0.5, 0.3, 0.15, 0.05, 1e-9]).astype(np.float32)
    every = np.broadcast_to(np.arange(V), (1, V)).T
    nats = head.log_prob(jnp.tile(logits, (V, 1, 1)), every)
    np.testing.assert_allclose(np.exp(nats).sum(), 1, rtol=1e-6)
    keys = jax.random.split(jax.random.key(0), 4000)
    ids = head.sample(keys, np.tile(logits, (4000, 1)))
    shares = np.bincount(ids, minlength=V) / 4000
    np.testing.assert_allclose(shares, np.exp(nats)[:, 0], atol=0.03)


def test_digits_are_drawn_as_their_probabilities_say_and_depend_on_each_other():
    head = bound(Digits(slots=1, levels=(2, 3), components=2, width=4))
    # Component 1, weight 0.75: digits 1 and 2 for sure; component 2: 0 and 0, or 0 and 1.
    sure = 30.0
    one, two = [0, sure, 0, 0, sure], [sure, 0, sure, sure + np.log(3), 0]
    parameters = np.float32([[np.log(3), 0, *one, *two]])
    every = np.arange(6)[:, None]
    shares = np.exp(head.log_prob(jnp.tile(parameters, (6, 1, 1)), every))[:, 0]
    # Code = first digit + 2 * second digit.
    np.testing.assert_allclose(shares, [0.0625, 0, 0.1875, 0, 0, 0.75], atol=1e-5)
    assert head.likeliest(parameters[None]).tolist() == [[5]]
    ids = head.sample(jax.random.split(jax.random.key(0), 4000), jnp.tile(parameters, (4000, 1)))
    np.testing.assert_allclose(np.bincount(ids, minlength=6) / 4000, shares, atol=0.03)


def test_digits_that_do_not_make_the_codes():
    with pytest.raises(ConfigError, match="make 105 codes, but config.codes.codebook_size=100"):
        build_token_policy(MODEL, {**CODES["digits"], "codebook_size": 100})


def test_a_mixture_is_a_density_and_is_drawn_from():
    head = bound(Mixture(slots=1, slot_width=1, components=2, width=4))
    parameters = np.float32([[np.log(0.3), np.log(0.7), -1.0, 2.0, np.log(0.5), np.log(0.2)]])
    x = np.linspace(-6, 6, 4001, dtype=np.float32)
    nats = head.log_prob(jnp.tile(parameters, (4001, 1, 1)), x[:, None, None])
    density = np.exp(nats)[:, 0]
    np.testing.assert_allclose(np.trapezoid(density, x), 1, rtol=1e-4)
    keys = jax.random.split(jax.random.key(0), 4000)
    values = head.sample(keys, jnp.tile(parameters, (4000, 1)))[:, 0]
    np.testing.assert_allclose(np.mean(values), np.trapezoid(density * x, x), atol=0.1)
    np.testing.assert_allclose(np.mean(values < 1), 0.3, atol=0.03)


@pytest.mark.parametrize(
    "kind, column", [("discrete", "ids"), ("digits", "ids"), ("continuous", "slots")]
)
def test_a_clip_has_frames_for_all_stacks_and_one_where_the_last_action_leads(kind, column):
    shapes = clip_shapes(MODEL, CODES[kind])
    assert shapes["frames"].shape == (T + S, 16, 16, 3)
    assert shapes[column].shape == (T + S - 1, *random_codes(kind).shape)


def test_a_width_that_the_heads_do_not_divide():
    with pytest.raises(ConfigError, match="width=16 is not divisible by config.model.heads=3"):
        build_token_policy({**MODEL, "heads": 3}, CODES["discrete"])
