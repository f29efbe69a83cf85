"""Schedule values, decay mask, clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.training.optimizer import decay_mask, make_optimizer, make_schedule
from tests.training import toy


def values(total, steps, **overrides):
    cfg = toy.config(**{f"optimizer__{k}": v for k, v in overrides.items()}).optimizer
    schedule = make_schedule(cfg, total)
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("constant", [0, 0.5, 1, 1, 1, 1]),
        ("cosine", [0, 0.5, 1, 0.5 * (1 + np.cos(np.pi / 4)), 0.5, 0]),
        ("wsd", [0, 0.5, 1, 1, 1, 0]),
    ],
)
def test_schedules(kind, expected):
    got = values(
        100,
        [0, 10, 20, 40, 60, 100],
        schedule=kind,
        learning_rate=1.0,
        warmup_steps=20,
        decay_fraction=0.4,
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_wsd_decays_linearly_over_its_last_fraction():
    got = values(
        100,
        [59, 60, 80, 99],
        schedule="wsd",
        learning_rate=1.0,
        warmup_steps=20,
        decay_fraction=0.4,
    )
    np.testing.assert_allclose(got, [1, 1, 0.5, 1 / 40], atol=1e-6)


def test_no_warmup_starts_at_the_peak():
    assert values(10, [0], schedule="constant", learning_rate=0.25, warmup_steps=0) == [0.25]


@pytest.mark.parametrize(
    "overrides, message",
    [
        (dict(schedule="linear"), "schedule='linear' is not one of"),
        (dict(warmup_steps=101), "do not fit into total_steps=100"),
        (dict(schedule="wsd", warmup_steps=50, decay_fraction=0.6), "do not fit"),
    ],
)
def test_impossible_schedules(overrides, message):
    with pytest.raises(UserError, match=message):
        values(100, [0], **overrides)


PARAMS = {
    "norm": {"scale": jnp.ones((2, 4))},
    "positions": {"embedding": jnp.ones((4, 4))},
    "layers": {"attention": {"qkv": {"kernel": jnp.ones((2, 4, 2, 3, 2))}}},
    "dense": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones((2, 4))},
    "null": jnp.ones(4),
    "slot_queries": jnp.ones((3, 4)),
}


def test_only_weights_decay():
    """With zero gradients AdamW moves nothing but what it decays."""
    cfg = toy.config(optimizer__weight_decay=0.1).optimizer
    optimizer = make_optimizer(cfg, lambda _: 1.0)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p)[0])(zeros, PARAMS)
    moved = jax.tree.map(lambda u: bool(jnp.any(u != 0)), updates)
    assert (
        moved
        == decay_mask(PARAMS)
        == {
            "norm": {"scale": False},
            "positions": {"embedding": False},
            "layers": {"attention": {"qkv": {"kernel": True}}},
            "dense": {"kernel": True, "bias": False},
            "null": False,
            "slot_queries": False,
        }
    )


def test_clipping_by_global_norm():
    cfg = toy.config(optimizer__clip_norm=1.0).optimizer
    optimizer = make_optimizer(cfg, lambda _: 1.0)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    big = {"a": jnp.array([30.0, 0.0]), "b": jnp.array(40.0)}
    _, state = optimizer.update(big, optimizer.init(params), params)
    # The first moment after one step is (1 - b1) times the clipped gradient.
    np.testing.assert_allclose(state[1][0].mu["a"][0] / 0.1, 0.6, rtol=1e-5)
    np.testing.assert_allclose(state[1][0].mu["b"] / 0.1, 0.8, rtol=1e-5)


def grouped(**groups):
    cfg = toy.config(optimizer__weight_decay=0.1).optimizer
    cfg.groups = groups
    return make_optimizer(cfg, lambda _: 1.0)


def one_update(optimizer, gradient=1.0):
    grads = jax.tree.map(lambda x: jnp.full_like(x, gradient), PARAMS)
    return jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p)[0])(grads, PARAMS)


def test_groups_scale_their_part_only():
    plain = one_update(grouped())
    slow = one_update(grouped(slow={"pattern": "^layers/", "learning_rate": 0.25}))
    still = one_update(grouped(a={"pattern": "dense", "weight_decay": 0.0}), gradient=0.0)
    expected = plain | {"layers": jax.tree.map(lambda x: 0.25 * x, plain["layers"])}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), slow, expected)
    assert not jnp.any(still["dense"]["kernel"])
    assert jnp.any(still["layers"]["attention"]["qkv"]["kernel"])


def test_the_first_group_that_matches_counts():
    kernels, dense = {"pattern": "kernel$", "learning_rate": 0.0}, {"pattern": "dense"}
    updates = one_update(grouped(a=kernels, b=dense))
    assert not jnp.any(updates["dense"]["kernel"]) and jnp.all(updates["dense"]["bias"])
    updates = one_update(grouped(a=dense, b=kernels))
    assert jnp.all(updates["dense"]["kernel"])
    with pytest.raises(ConfigError, match="groups.b.pattern='null' is left without parameters"):
        grouped(a={"pattern": ""}, b={"pattern": "null"}).init(PARAMS)


def test_without_groups_the_state_is_that_of_old_checkpoints():
    cfg = toy.config().optimizer
    state = jax.eval_shape(make_optimizer(cfg, lambda _: 1.0).init, PARAMS)
    old = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(lambda _: 1.0, mask=decay_mask)
    ).init(PARAMS)
    assert jax.tree.structure(state) == jax.tree.structure(old)


@pytest.mark.parametrize(
    "group, told",
    [
        ({"pattern": "encoder"}, "pattern='encoder' matches no trained parameter.*dense, layers"),
        ({"pattern": "("}, "is no regular expression"),
        ({"learning_rate": 2.0}, "lacks optimizer.groups.g.pattern"),
        ({"pattern": "null", "rate": 2.0}, "unknown config key config.optimizer.groups.g.rate"),
        ({"pattern": "null", "learning_rate": -1.0}, "learning_rate=-1.0 is out of range"),
    ],
)
def test_wrong_groups(group, told):
    with pytest.raises(ConfigError, match=told):
        grouped(g=group).init(PARAMS)
