"""The chunk policy: which token sees what, and what its settings refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.baku import Affine, build_chunk_policy
from tests.models.tiny_lam import randomised

MODEL = {
    "image_size": 8,
    "encoder": {"kind": "light", "patch": 4, "channels": 4, "blocks": 1, "points": 2},
    "text": {"kind": "hashed", "width": 8},
    "head": {"kind": "deterministic", "hidden": 8},
    "chunk": 2,
    "history": 3,
    "width": 8,
    "layers": 2,
    "heads": 2,
    "mlp_hidden": 16,
}
READS = {
    "cameras": ("top", "side"),
    "proprio": True,
    "proprio_width": 2,
    "proprio_mean": (1.0, 2.0),
    "proprio_scale": (2.0, 4.0),
    "skill": "z",
    "skill_width": 3,
}
PREDICTS = {"width": 2, "low": (0.0, -5.0), "high": (2.0, 5.0)}
RNG = np.random.default_rng(0)
SEEDS = np.zeros(2, np.uint32)
OBSERVATION = {
    "frames": RNG.integers(0, 256, (2, 3, 2, 8, 8, 3), np.uint8),
    "text": RNG.standard_normal((2, 8)).astype(np.float32),
    "proprio": RNG.standard_normal((2, 3, 2)).astype(np.float32),
    "skill": RNG.standard_normal((2, 3, 3)).astype(np.float32),
}


@pytest.fixture(scope="module")
def policy():
    """(module, variables, jitted hidden states of the action tokens)."""
    module = build_chunk_policy(MODEL, READS, PREDICTS)
    init = jax.jit(lambda key: module.init(key, OBSERVATION, SEEDS, method="act"))
    hidden = jax.jit(lambda *given: module.apply(*given, method=lambda m, *x: m.body(*x)))
    return module, randomised(init(jax.random.key(0))), hidden


@pytest.mark.parametrize("name, step", [("frames", 1), ("proprio", 1), ("skill", 1), ("text", 0)])
def test_a_step_sees_itself_and_those_before_of_its_own_row(policy, name, step):
    _, variables, apply = policy
    changed = {key: np.array(value) for key, value in OBSERVATION.items()}
    at = (1,) if name == "text" else (1, step)
    changed[name][at] = 255 - changed[name][at]
    before, after = apply(variables, OBSERVATION), apply(variables, changed)
    moved = np.abs(np.asarray(after) - np.asarray(before)).max(axis=-1)
    assert moved.shape == (2, 3)
    assert moved[0].max() < 1e-5 and (moved[1, :step] < 1e-5).all()
    assert (moved[1, step:] > 1e-4).all()


def test_each_camera_has_its_place(policy):
    _, variables, apply = policy
    swapped = {**OBSERVATION, "frames": OBSERVATION["frames"][:, :, ::-1]}
    assert np.abs(apply(variables, swapped) - apply(variables, OBSERVATION)).max() > 1e-3


def test_fewer_steps_are_read_as_the_first_ones(policy):
    _, variables, apply = policy
    first = {name: x if name == "text" else x[:, :2] for name, x in OBSERVATION.items()}
    whole = apply(variables, OBSERVATION)
    np.testing.assert_allclose(apply(variables, first), whole[:, :2], atol=1e-4)


def test_targets_are_scaled_to_the_heads_range_and_back(policy):
    module, variables, _ = policy
    act = jax.jit(lambda *given: module.apply(*given, method="act"))
    chunk = np.asarray(act(variables, OBSERVATION, SEEDS))
    assert chunk.shape == (2, 2, 2)
    assert (chunk >= [0, -5]).all() and (chunk <= [2, 5]).all()
    target = np.tile(np.float32([2.0, 0.0]), (2, 3, 2, 1))  # Scaled: (1, 0).
    mask, key = np.ones((2, 3, 2), bool), jax.random.key(0)
    learn = jax.jit(lambda *given: module.apply(*given, method="losses"))
    losses, done = map(np.asarray, learn(variables, OBSERVATION, target, mask, key))
    expected = np.square(done - np.array([1.0, 0.0])).mean(-1) / (2 * 0.1**2)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(done[:, -1] * [1.0, 5.0] + [1.0, 0.0], chunk, atol=1e-4)


def test_scales():
    scale = Affine.between((0.0, 3.0), (4.0, 3.0))
    np.testing.assert_allclose(scale.apply(jnp.array([[1.0, 4.0]])), [[-0.5, 1.0]])
    np.testing.assert_allclose(scale.undo(scale.apply(jnp.array([1.0, 4.0]))), [1.0, 4.0])
    np.testing.assert_array_equal(Affine().apply(np.array([5.0])), [5.0])
    proprio = Affine((1.0, 2.0), (2.0, 4.0))
    np.testing.assert_allclose(proprio.apply(np.array([3.0, -2.0])), [1.0, -1.0])


def test_parts_that_are_not_read_have_no_parameters():
    module = build_chunk_policy({**MODEL, "text": {"kind": "none"}}, {}, {"width": 2})
    frames = jnp.zeros((1, 1, 1, 8, 8, 3))
    init = lambda: module.init(jax.random.key(0), {"frames": frames}, SEEDS[:1], method="act")
    params = jax.eval_shape(init)["params"]["body"]
    assert set(params) == {"action_token", "positions", "encoder", "trunk", "norm"}
    assert params["positions"].shape == (3 * 2, 8)


def test_the_body_is_the_same_whatever_is_predicted(policy):
    other = build_chunk_policy({**MODEL, "head": {"kind": "flow"}}, READS, {"width": 5})
    init = lambda: other.init(jax.random.key(0), OBSERVATION, SEEDS, method="act")
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    found = jax.eval_shape(init)["params"]
    assert shapes(found["body"]) == shapes(policy[1]["params"]["body"])
    assert shapes(found["head"]) != shapes(policy[1]["params"]["head"])


@pytest.mark.parametrize(
    "sections, message",
    [
        (({"width": 9, "heads": 2}, {}, {}), "config.model.width=9 is not divisible by .*heads=2"),
        (({"chunk": 0}, {}, {}), "config.model.chunk=0 is out of range"),
        (({"encoder": {"kind": "vgg"}}, {}, {}), "model.encoder.kind='vgg' is not one of .*light"),
        (({"head": {"kind": "gmm", "modes": 3}}, {}, {}), "unknown config key model.head.modes"),
        (
            ({}, {"skill_width": 4, "skill_mean": (0.0,), "skill_scale": (1.0,)}, {}),
            "the 4 numbers",
        ),
        (({}, {}, {"width": 3, "low": (0.0,) * 3}), r"config.predicts has .*\(3 in low, 0 in high"),
        (({}, {"proprio_scale": (0.0,) * 9}, {}), "config.reads.proprio_scale=.* out of range"),
    ],
)
def test_what_cannot_be_built(sections, message):
    model, reads, predicts = sections
    with pytest.raises(ConfigError, match=message):
        build_chunk_policy({**MODEL, **model}, reads, predicts)
