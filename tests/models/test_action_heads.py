"""Heads of chunk policies: their losses by hand, what they learn, and what masks and keys do."""

from math import exp, log, pi

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.config.sections import build_kind
from flexlam_jax.models.action_heads import HEADS
from tests.models.tiny_lam import randomised

B, M, C, A = 6, 8, 3, 2
RNG = np.random.default_rng(0)
HIDDEN = RNG.standard_normal((B, M)).astype(np.float32)
TARGET = RNG.uniform(-1, 1, (B, C, A)).astype(np.float32)
MASK = np.ones((B, C), bool)
MASK[0, 1:] = False
KEYS = jnp.broadcast_to(jax.random.key(0), (B,))
KEY = jax.random.key(3)


@pytest.fixture(scope="module", params=HEADS)
def head(request):
    """(head, variables, its jitted `losses` and `act`)."""
    given = {"kind": request.param, "hidden": 16}
    module = build_kind("model.head", given, HEADS, chunk=C, outputs=A, dtype=jnp.float32)

    def losses(variables, hidden, target, mask, key):
        return module.apply(variables, hidden, target, mask, key, method="losses")

    def act(variables, hidden, keys):
        return module.apply(variables, hidden, keys, method="act")

    init = jax.jit(lambda key: module.init(key, HIDDEN, TARGET, MASK, KEY, method="losses"))
    return module, dict(init(jax.random.key(0))), jax.jit(losses), jax.jit(act)


def test_chunks_are_of_the_row_and_in_range(head):
    _, variables, losses, act = head
    variables = randomised(variables, scale=0.2)
    given = act(variables, HIDDEN, KEYS)
    assert given.shape == (B, C, A) and given.dtype == jnp.float32 and np.abs(given).max() <= 1
    assert np.ptp(given, axis=0).max() > 0.01
    np.testing.assert_allclose(act(variables, HIDDEN[::-1], KEYS)[::-1], given, atol=1e-5)
    assert losses(variables, HIDDEN, TARGET, MASK, KEY).shape == (B, C)


def test_what_is_masked_teaches_nothing(head):
    _, variables, losses, _ = head
    variables = randomised(variables, scale=0.3)

    def total(variables, target):
        return jnp.where(MASK, losses(variables, HIDDEN, target, MASK, KEY), 0.0).sum()

    gradient = jax.grad(total)(variables, TARGET)
    other = np.where(MASK[..., None], TARGET, 100.0)
    changed = jax.grad(total)(variables, other)
    for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(changed), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_it_learns_a_chunk_from_the_hidden_state(head):
    module, variables, _, act = head
    target = jnp.tanh(HIDDEN[:, : C * A].reshape(B, C, A)) * 0.8
    optimizer = optax.adam(1e-2)

    def step(carry, key):
        params, state = carry

        def loss(params):
            return module.apply(
                {"params": params}, HIDDEN, target, MASK | True, key, method="losses"
            ).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def learned(params):
        keys = jax.random.split(KEY, 300)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    error = np.abs(act({"params": learned(variables["params"])}, HIDDEN, KEYS) - target)
    untrained = np.abs(act(variables, HIDDEN, KEYS) - target)
    assert error.mean() < 0.3 * untrained.mean()


def with_parameters(module, method, values, *arguments):
    """A head whose perceptron gives `values` whatever it reads."""
    init = lambda: module.init(jax.random.key(0), HIDDEN, TARGET, MASK, KEY, method="losses")
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(init))
    (part,) = (name for name in variables["params"] if name != "places")
    variables["params"][part]["out"]["bias"][:] = values
    return jax.jit(lambda *given: module.apply(*given, method=method))(variables, *arguments)


def test_the_deterministic_loss_is_that_of_a_gaussian():
    module = HEADS["deterministic"](chunk=1, outputs=2, hidden=4)
    target = np.array([[[0.5, -0.25]]], np.float32)
    arguments = HIDDEN[:1], target, MASK[:1, :1], KEY
    loss = with_parameters(module, "losses", np.arctanh([0.3, -0.25]), *arguments)
    density = 0.5 * (0.2 / 0.1) ** 2  # -log N(0.5; 0.3, 0.1) but for its constant.
    np.testing.assert_allclose(loss, density / 2, rtol=1e-4)


def test_the_mixture_by_hand():
    module = HEADS["gmm"](chunk=1, outputs=1, hidden=4, components=2)
    target = np.array([[[0.5]]], np.float32)
    # Weights 1 to 3; then, of each component, a mean before tanh and a log scale, shifted by 1.
    values = [0.0, log(3), np.arctanh(0.4), 0.0, np.arctanh(-0.2), 1.0]
    loss = with_parameters(module, "losses", values, HIDDEN[:1], target, MASK[:1, :1], KEY)

    def normal(x, mean, std):
        return exp(-0.5 * ((x - mean) / std) ** 2) / (std * (2 * pi) ** 0.5)

    density = 0.25 * normal(0.5, 0.4, exp(-1)) + 0.75 * normal(0.5, -0.2, 1.0)
    np.testing.assert_allclose(loss, -log(density), rtol=1e-4)
    likeliest = with_parameters(module, "act", values, HIDDEN[:1], KEYS[:1])
    np.testing.assert_allclose(likeliest, -0.2, rtol=1e-4)


def test_flow_follows_a_constant_velocity_from_the_noise_of_its_key():
    module = HEADS["flow"](chunk=C, outputs=A, hidden=4, steps=5)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    still = with_parameters(module, "act", np.zeros(C * A), HIDDEN[:2], keys)
    noise = jnp.stack([jax.random.normal(key, (C, A)) for key in keys])
    np.testing.assert_allclose(still, jnp.clip(noise, -1, 1), atol=1e-6)
    moved = with_parameters(module, "act", np.full(C * A, 0.5), HIDDEN[:2], keys)
    np.testing.assert_allclose(moved, jnp.clip(noise + 0.5, -1, 1), atol=1e-5)
