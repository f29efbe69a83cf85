"""Dynamic chunking against the published equations, the official code, and itself step by step.

goldens/hnet_chunking.npz holds float32 numbers of the official code, goombalab/hnet commit 3673fe1,
hnet/modules/dc.py: RoutingModule, ChunkLayer and DeChunkLayer(dtype=float32), `forward` of three
rows with padding and `step` of the first, with torch 2.13.0 on a CPU in an environment of its own.
Its Mamba-2 kernel needs a GPU, and was replaced by the recurrence that it computes. What lies
between chunk and dechunk is 2 tanh + 1. `noise` is what was added to the two identities.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.chunking import (
    boundaries,
    boundary_probability,
    confidence,
    dechunk,
    first_boundaries,
    merge_runs,
    ratio_loss,
    ratio_losses,
    select,
    spread,
)

B, T, D = 3, 20, 5


@pytest.fixture(scope="module")
def official():
    with np.load(Path(__file__).with_name("goldens") / "hnet_chunking.npz") as arrays:
        return dict(arrays)


def sequences(seed=0, *shape):
    return np.random.default_rng(seed).normal(size=shape or (B, T, D)).astype(np.float32)


def published(x, inner, N, pairing="code", ties=False):
    """The equations of one row in float64, as they are printed: loops and no masks."""
    x = x.astype(np.float64)
    cos = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    p = np.array([1.0] + [(1 - cos(x[t], x[t - 1])) / 2 for t in range(1, len(x))])
    b = p >= 0.5 if ties else p > 0.5
    outs, average, state = inner(x[b]), [], 0.0
    for z, weight in zip(outs, np.clip(p[b], 1e-4, 1 - 1e-4), strict=True):
        state = weight * z + (1 - weight) * state
        average.append(state)
    y = np.stack([average[np.sum(b[: t + 1]) - 1] for t in range(len(x))])
    F, G = b.mean(), p.mean()
    return p, b, y, N / (N - 1) * ((N - 1) * F * G + (1 - F) * (1 - G))


def test_the_published_equations():
    x, inner = sequences(), lambda x: 2 * np.tanh(x) + 1
    probability = boundary_probability(x, x)
    boundary = boundaries(probability)
    y = dechunk(inner(x), probability, boundary)
    losses = ratio_losses(probability, boundary, np.ones_like(boundary), 4.0)
    for row in range(B):
        p, b, expected, loss = published(x[row], inner, 4.0)
        np.testing.assert_allclose(probability[row], p, atol=1e-6)
        np.testing.assert_array_equal(boundary[row], b)
        np.testing.assert_allclose(y[row], expected, atol=1e-5)
        np.testing.assert_allclose(losses[row], loss, rtol=1e-5)


@pytest.mark.parametrize("kind", ["identity", "learned"])
def test_the_official_code(official, kind):
    x, mask = official["x"], official["mask"]
    expected = {k.split("/")[1]: v for k, v in official.items() if k.startswith(f"{kind}/")}
    added = official["noise"] * (kind == "learned")
    query, key = np.eye(x.shape[-1], dtype=np.float32) + added
    probability = boundary_probability(x @ query.T, x @ key.T)
    boundary = boundaries(probability, mask)
    np.testing.assert_allclose(probability, expected["probability"], atol=2e-7)
    np.testing.assert_array_equal(boundary, expected["boundary"])
    most = expected["chunks"].shape[1]
    chunks = select(x, boundary, most)
    np.testing.assert_array_equal(chunks.valid, expected["valid"])
    np.testing.assert_array_equal(
        chunks.values, np.where(expected["valid"][..., None], expected["chunks"], 0)
    )
    y = dechunk(2 * np.tanh(x) + 1, probability, boundary)
    np.testing.assert_allclose(y, expected["out"], atol=2e-6)
    np.testing.assert_allclose(y[0], expected["step_out"], atol=2e-6)
    np.testing.assert_allclose(probability[0], expected["step_probability"], atol=2e-7)
    np.testing.assert_array_equal(boundary[0], expected["step_boundary"])
    # Its loss counts padding, here given as valid.
    everywhere = np.ones_like(mask)
    np.testing.assert_allclose(
        ratio_loss(probability, boundary, everywhere, 4.0), expected["ratio"], rtol=1e-6
    )
    # Its confidence is that of the likelier choice; padding is none of its boundaries.
    decided = jnp.where(boundary, probability, 1 - probability)
    np.testing.assert_allclose(decided[mask], expected["confidence"][mask], atol=2e-7)


def test_a_tie_is_no_boundary_but_in_the_paper():
    x = np.zeros((1, 3, 2), np.float32)
    x[0, :, 0], x[0, 1] = 1, (0, 3)
    probability = boundary_probability(x, x)
    np.testing.assert_array_equal(probability, [[1, 0.5, 0.5]])
    np.testing.assert_array_equal(boundaries(probability), [[True, False, False]])
    np.testing.assert_array_equal(boundaries(probability, ties=True), [[True, True, True]])


def test_which_neighbour_asks():
    q, k = sequences(1), sequences(2)
    np.testing.assert_allclose(
        boundary_probability(q, k)[:, 1:],
        boundary_probability(k, q, pairing="paper")[:, 1:],
        atol=1e-6,
    )
    assert not np.allclose(boundary_probability(q, k), boundary_probability(q, k, pairing="paper"))
    with pytest.raises(ConfigError, match="pairing='both' is unknown; choose one of"):
        boundary_probability(q, k, pairing="both")


def test_an_offset_moves_the_angle_that_is_a_boundary():
    angles = np.radians([0.0, 30, 80, 100, 180])
    x = np.stack([np.cos(angles.cumsum()), np.sin(angles.cumsum())], axis=-1)[None]
    x = np.concatenate([x[:, :1], x], axis=1)  # Equal to the first, then ever larger angles.

    def found(**options):
        return np.asarray(boundaries(boundary_probability(x, x, **options)))[0, 2:].astype(int)

    np.testing.assert_array_equal(found(), [0, 0, 1, 1])
    np.testing.assert_array_equal(found(offset=np.log(2.0)), [0, 1, 1, 1])  # From 70.5 degrees.
    np.testing.assert_array_equal(found(offset=-np.log(2.0)), [0, 0, 0, 1])  # From 109.5.
    np.testing.assert_array_equal(found(offset=50.0, temperature=0.5), [1, 1, 1, 1])
    plain, none = boundary_probability(x, x), boundary_probability(x, x, offset=0.0)
    np.testing.assert_allclose(plain, none, atol=1e-6)
    assert boundary_probability(x, x, offset=50.0)[0, 1] == 0  # Equal directions never are.
    gradient = jax.grad(lambda o: boundary_probability(x, x, offset=o).sum())(1.0)
    assert np.isfinite(gradient) and gradient > 0


def test_temperature_leaves_decisions_and_moves_away_from_a_half():
    x = sequences()
    plain, sharp = boundary_probability(x, x), boundary_probability(x, x, temperature=0.25)
    np.testing.assert_array_equal(boundaries(plain), boundaries(sharp))
    assert (abs(sharp - 0.5) >= abs(plain - 0.5) - 1e-6).all()
    assert abs(sharp[:, 1:] - 0.5).mean() > 1.5 * abs(plain[:, 1:] - 0.5).mean()


def test_all_chunks_at_once_are_the_chunks_alone_spread_over_their_positions():
    x = sequences()
    probability = boundary_probability(x, x)
    boundary = boundaries(probability)
    whole = dechunk(x, probability, boundary)
    chunks = select(x, boundary, T)
    weight = np.take_along_axis(np.asarray(probability), np.asarray(chunks.position), axis=1)
    alone = spread(dechunk(chunks.values, weight, chunks.valid), boundary)
    np.testing.assert_allclose(whole, alone, atol=1e-6)


def test_only_values_at_boundaries_are_read():
    x = sequences()
    probability = boundary_probability(x, x)
    boundary = boundaries(probability)
    spoilt = np.where(np.asarray(boundary)[..., None], x, np.nan)
    np.testing.assert_array_equal(
        dechunk(x, probability, boundary), dechunk(spoilt, probability, boundary)
    )
    gradient = jax.grad(lambda v: dechunk(v, probability, boundary).sum())(spoilt)
    assert np.isfinite(gradient).all() and not gradient[~np.asarray(boundary)].any()


def test_no_position_depends_on_a_later_one():
    x = sequences(0, 1, T, D)

    def through(x):
        probability = boundary_probability(x, x)
        boundary = merge_runs(boundaries(probability), 2)
        y = dechunk(x, probability, boundary) * confidence(probability, boundary)[..., None]
        return y[0].sum(-1)

    felt = abs(jax.jacobian(through)(x)[:, 0]).sum(-1)  # (T, T): output, input
    assert not np.triu(felt, 1).any() and (np.diagonal(felt, -1) > 0).any()


def test_a_cap_keeps_the_first_boundaries():
    boundary = np.array([[1, 0, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0]], bool)
    capped = first_boundaries(boundary, 2)
    np.testing.assert_array_equal(capped, [[1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    x = np.arange(12, dtype=np.float32).reshape(2, 6, 1) + 1
    chunks = select(x, capped, 2)
    np.testing.assert_array_equal(chunks.values[..., 0], [[1, 3], [7, 0]])
    np.testing.assert_array_equal(chunks.position, [[0, 2], [0, 0]])
    np.testing.assert_array_equal(chunks.valid, [[True, True], [True, False]])
    np.testing.assert_array_equal(
        spread(chunks.values, capped)[..., 0], [[1, 1, 3, 3, 3, 3], [7] * 6]
    )


def test_runs_of_boundaries_are_merged_into_their_first():
    boundary = np.array([[1, 1, 1, 0, 1, 0, 0, 1, 1]], bool)
    np.testing.assert_array_equal(merge_runs(boundary, 1), boundary)
    np.testing.assert_array_equal(merge_runs(boundary, 2), [[1, 0, 0, 0, 1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(merge_runs(boundary, 3), [[1, 0, 0, 0, 0, 0, 0, 1, 0]])
    np.testing.assert_array_equal(merge_runs(boundary, 20), [[1] + [0] * 8])


def test_the_ratio_loss_is_one_where_every_fourth_position_is_a_boundary():
    boundary = np.zeros((2, 8), bool)
    boundary[:, ::4] = True
    valid = np.ones_like(boundary)
    assert float(ratio_loss(boundary * 1.0, boundary, valid, 4.0)) == pytest.approx(1)
    soft = np.full((2, 8), 0.25, np.float32)
    assert float(ratio_loss(soft, boundary, valid, 4.0)) == pytest.approx(1)
    np.testing.assert_allclose(ratio_losses(soft, boundary, valid, 4.0), [1, 1], rtol=1e-6)
    # More boundaries than asked for pull the probability down, fewer push it up.
    pull = jax.grad(lambda p, b: ratio_loss(p, b, valid, 4.0))
    assert (pull(soft, np.ones_like(boundary)) > 0).all()
    assert (pull(soft, np.zeros_like(boundary)) < 0).all()


def test_padding_changes_nothing():
    x, cut = sequences(), 13
    valid = np.arange(T) < np.array([[T], [cut], [2]])

    def both(x, valid):
        probability = boundary_probability(x, x)
        boundary = boundaries(probability, valid)
        return probability, boundary, ratio_losses(probability, boundary, valid, 3.0)

    padded = np.where(valid[..., None], x, 0)
    probability, boundary, losses = both(padded, valid)
    _, alone, loss = both(x[1:2, :cut], valid[1:2, :cut])
    np.testing.assert_array_equal(boundary[1, :cut], alone[0])
    assert not boundary[~valid].any()
    np.testing.assert_allclose(losses[1], loss[0], rtol=1e-6)
    total = ratio_loss(probability, boundary, valid, 3.0)
    soiled = jnp.where(valid, probability, 0.9)
    np.testing.assert_allclose(ratio_loss(soiled, boundary, valid, 3.0), total, rtol=1e-6)
    nothing = np.zeros_like(valid)
    assert float(ratio_loss(probability, boundary, nothing, 3.0)) == 0
    # A norm at zero padding has no derivative: this must not make NaN of those that count.
    gradient = jax.grad(lambda x: jnp.sum(both(x, valid)[2]))(padded)
    assert np.isfinite(gradient).all() and gradient[valid].any() and not gradient[~valid].any()


def test_the_ratio_loss_leaves_probabilities_alone_once_there_are_as_many_boundaries_as_asked_for():
    """Why they may stay near 1/2: only the side that they are on counts then."""
    probability = np.full((1, 8), 0.49, np.float32)
    probability[:, [0, 4]] = 0.51
    valid = np.ones((1, 8), bool)

    def loss(probability):
        return ratio_loss(probability, boundaries(probability), valid, 4.0)

    value, gradient = jax.value_and_grad(loss)(probability)
    assert float(value) == pytest.approx(1)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    assert (jax.grad(loss)(probability + 0.02) > 0).all()  # With more than that it moves all alike.


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_equal_latents_are_one_chunk_and_have_finite_gradients(value, temperature):
    x = np.full((2, 6, 4), value, np.float32)

    def loss(x):
        probability = boundary_probability(x, x, temperature=temperature)
        boundary = boundaries(probability)
        y = dechunk(x, probability, boundary) * confidence(probability, boundary)[..., None]
        return ratio_loss(probability, boundary, jnp.ones_like(boundary), 3.0) + y.sum(), boundary

    gradient, boundary = jax.grad(loss, has_aux=True)(x)
    np.testing.assert_array_equal(boundary, np.arange(6) == np.zeros((2, 1)))
    assert np.isfinite(gradient).all()


def test_confidence_is_one_and_its_gradient_that_of_what_was_decided():
    probability, boundary = np.array([[1.0, 0.7, 0.2]]), np.array([[True, True, False]])
    value, gradient = jax.value_and_grad(lambda p: confidence(p, boundary).sum())(probability)
    assert float(value) == pytest.approx(3)
    np.testing.assert_array_equal(gradient, [[1, 1, -1]])


@pytest.mark.parametrize("target", [1.0, 0.5, -2.0, float("nan")])
def test_a_target_that_is_no_compression(target):
    ones = np.ones((1, 4))
    with pytest.raises(ConfigError, match="positions per chunk: give more than 1"):
        ratio_loss(ones, ones > 0, ones > 0, target)


def test_a_sequence_of_one():
    with pytest.raises(ConfigError, match="a sequence of 1 has nothing to be cut"):
        boundary_probability(np.ones((2, 1, 3)), np.ones((2, 1, 3)))


def test_bfloat16_is_cut_as_float32():
    x = jnp.asarray(sequences(), jnp.bfloat16)
    assert boundary_probability(x, x).dtype == jnp.float32
    assert dechunk(x, jnp.ones((B, T)), jnp.ones((B, T), bool)).dtype == jnp.float32


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_the_ratio_loss_of_half_precision_is_added_up_in_float32(dtype):
    probability = np.full((64, 4096), 0.37).astype(dtype)  # More than a float16 counts to.
    boundary = np.arange(4096) % 3 == np.zeros((64, 1))
    valid = np.ones_like(boundary)
    expected = ratio_loss(probability.astype(np.float32), boundary, valid, 3.0)
    np.testing.assert_allclose(ratio_loss(probability, boundary, valid, 3.0), expected, rtol=1e-6)


def test_a_target_may_be_an_argument_of_a_jit():
    probability = np.asarray(boundary_probability(sequences(), sequences()))
    arguments = probability, probability > 0.5, np.ones_like(probability, bool)
    np.testing.assert_allclose(
        jax.jit(ratio_loss)(*arguments, 3.0), ratio_loss(*arguments, 3.0), rtol=1e-6
    )
