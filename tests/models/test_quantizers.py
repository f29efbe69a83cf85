import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.quantizers import FSQ, VQ, Gaussian, Identity
from flexlam_jax.models.quantizers.vq import assign, codes_from, revive, update_averages


@pytest.mark.parametrize("levels", [(3, 3), (2,), (4, 5, 2)])
def test_fsq_ids_round_trip_and_are_all_reachable(levels):
    quantizer = FSQ(levels)
    ids = jnp.arange(quantizer.codebook_size)
    values = quantizer.apply({}, ids, method="ids_to_values")
    assert len(np.unique(np.asarray(values), axis=0)) == len(ids)
    assert np.asarray(values).min() == -1.0 and np.asarray(values).max() == 1.0
    # A latent that tanh maps next to the code is quantised to that very code.
    found = quantizer.apply({}, jnp.arctanh(np.clip(values, -0.99, 0.99)))
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.values, values, atol=1e-6)
    assert quantizer.bits_per_slot == pytest.approx(np.log2(np.prod(levels)))


def test_fsq_uses_every_level_from_small_latents_on():
    z = jax.random.normal(jax.random.key(0), (4000, 3))
    ids = np.asarray(FSQ((2, 3, 4)).apply({}, z).ids)
    assert np.bincount(ids, minlength=24).min() > 20


def test_fsq_gradient_is_that_of_the_bounded_latent():
    z = jax.random.normal(jax.random.key(0), (7, 2))
    weight = jax.random.normal(jax.random.key(1), (7, 2))
    gradient = jax.grad(lambda z: jnp.sum(weight * FSQ((3, 5)).apply({}, z).values))(z)
    np.testing.assert_allclose(gradient, weight * (1 - jnp.tanh(z) ** 2), rtol=1e-5)


def test_vq_passes_gradients_straight_through_and_commits():
    quantizer = VQ(codes=5, width=3, commitment=0.5)
    z = jax.random.normal(jax.random.key(0), (4, 2, 3))
    variables = quantizer.init(jax.random.key(1), z)
    weight = jax.random.normal(jax.random.key(2), z.shape)
    out = quantizer.apply(variables, z)
    codes = variables["codebook"]["embedding"]
    np.testing.assert_allclose(out.values, codes[out.ids], atol=1e-6)
    np.testing.assert_allclose(
        quantizer.apply(variables, out.ids, method="ids_to_values"), codes[out.ids]
    )
    gradient = jax.grad(lambda z: jnp.sum(weight * quantizer.apply(variables, z).values))(z)
    np.testing.assert_allclose(gradient, weight, rtol=1e-5)
    loss = quantizer.apply(variables, z).losses["commitment"]
    np.testing.assert_allclose(loss, 0.5 * np.mean((z - codes[out.ids]) ** 2, -1), rtol=1e-5)
    # The codebook moves by averages only: it is no parameter, and no gradient could reach it.
    assert "params" not in variables


def test_vq_assigns_the_nearest_code():
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    codes = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    nearest = ((z[:, None] - codes) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(assign(z, codes), nearest)


@pytest.mark.parametrize("metric", ["euclid", "cosine"])
def test_vq_update_equals_a_numpy_reference(metric):
    quantizer = VQ(codes=4, width=2, metric=metric, decay=0.9, revive_below=0.0)
    rng = np.random.default_rng(0)
    variables = quantizer.init(jax.random.key(0), np.zeros((1, 2), np.float32))
    book = {name: np.asarray(x, np.float64) for name, x in variables["codebook"].items()}
    for _ in range(3):
        z = rng.normal(size=(6, 5, 2)).astype(np.float32)
        _, variables = quantizer.apply(
            variables, z, True, mutable=["codebook"], rngs={"revive": jax.random.key(1)}
        )
        flat = z.reshape(-1, 2).astype(np.float64)
        if metric == "cosine":
            flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
        ids = ((flat[:, None] - book["embedding"]) ** 2).sum(-1).argmin(1)
        for code in range(4):
            mine = flat[ids == code]
            book["counts"][code] = 0.9 * book["counts"][code] + 0.1 * len(mine)
            book["sums"][code] = 0.9 * book["sums"][code] + 0.1 * mine.sum(0)
        total = book["counts"].sum()
        smooth = (book["counts"] + 1e-5) / (total + 4e-5) * total
        book["embedding"] = book["sums"] / smooth[:, None]
        if metric == "cosine":
            book["embedding"] /= np.linalg.norm(book["embedding"], axis=-1, keepdims=True)
        for name, expected in book.items():
            np.testing.assert_allclose(variables["codebook"][name], expected, rtol=1e-4, atol=1e-5)


def test_vq_revives_dead_codes_only():
    counts = jnp.array([10.0, 0.1, 8.0, 0.2])
    sums = jnp.arange(8.0).reshape(4, 2)
    z = jax.random.normal(jax.random.key(1), (9, 2))
    new_counts, new_sums, dead = revive(jax.random.key(0), counts, sums, z, 0.1)
    np.testing.assert_array_equal(dead, [False, True, False, True])
    np.testing.assert_allclose(new_counts, [10.0, counts.mean(), 8.0, counts.mean()])
    np.testing.assert_array_equal(new_sums[::2], sums[::2])
    revived = codes_from(new_counts, new_sums)[1::2]
    distance = np.abs(np.asarray(revived)[:, None] - z).max(-1).min(-1)
    assert np.all(distance < 1e-4), "a revived code stands on a latent of the batch"


def test_vq_revival_rescues_a_collapsed_codebook():
    """Latents far from every code: without revival one code takes all, with it usage recovers."""

    def perplexity(revive_below):
        quantizer = VQ(codes=8, width=2, decay=0.8, revive_below=revive_below)
        variables = quantizer.init(jax.random.key(0), jnp.zeros((1, 2)))
        step = jax.jit(
            lambda v, z, k: quantizer.apply(v, z, True, mutable=["codebook"], rngs={"revive": k})
        )
        for i in range(40):
            z = 30.0 + jax.random.normal(jax.random.key(i), (256, 2))
            out, variables = step(variables, z, jax.random.key(100 + i))
        share = np.bincount(out.ids, minlength=8) / 256
        return np.exp(-np.sum(share * np.log(np.maximum(share, 1e-9))))

    assert perplexity(0.0) < 2.0
    assert perplexity(0.1) > 5.0


def test_vq_codebook_moves_only_in_training():
    quantizer = VQ(codes=4, width=2)
    z = jax.random.normal(jax.random.key(0), (32, 2))
    variables = quantizer.init(jax.random.key(1), z, True)
    _, after = quantizer.apply(variables, z, False, mutable=["codebook"])
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, dict(after)))


def test_averages_of_an_unused_code_decay_but_its_place_stays():
    counts, sums = update_averages(
        jnp.ones(2), jnp.ones((2, 3)), jnp.full((4, 3), 2.0), jnp.zeros(4, jnp.int32), 0.5
    )
    np.testing.assert_allclose(counts, [2.5, 0.5])
    np.testing.assert_allclose(codes_from(counts, sums)[1], 1.0, rtol=1e-4)


def test_gaussian_kl_is_the_closed_form_and_samples_in_training_only():
    quantizer = Gaussian(width=2, beta=0.1)
    z = np.array([[0.5, -1.0, 0.2, -0.3]], np.float32)
    out = quantizer.apply({}, z)
    np.testing.assert_array_equal(out.values, z[:, :2])
    mean, log_variance = z[:, :2], z[:, 2:]
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1)
    np.testing.assert_allclose(out.losses["kl"], 0.1 * kl, rtol=1e-5)
    many = np.tile(z, (20_000, 1))
    drawn = quantizer.apply({}, many, True, rngs={"sample": jax.random.key(0)}).values
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=0.03)
    np.testing.assert_allclose(drawn.var(0), np.exp(log_variance[0]), rtol=0.05)


@pytest.mark.parametrize("quantizer", [Identity(), Gaussian(), FSQ((3,) * 8), VQ(codes=4)])
def test_nan_latents_stay_nan(quantizer):
    z = np.ones((2, quantizer.input_width), np.float32)
    variables = quantizer.init(jax.random.key(0), z)
    z[0] = np.nan
    values = np.asarray(quantizer.apply(variables, z).values)
    assert np.isnan(values[0]).all() and np.isfinite(values[1]).all()


@pytest.mark.parametrize("quantizer", [Identity(), Gaussian()])
def test_continuous_slots_have_no_ids(quantizer):
    assert quantizer.codebook_size is None and quantizer.bits_per_slot is None
    with pytest.raises(ValueError, match="continuous"):
        quantizer.ids_to_values(jnp.zeros(3, jnp.int32))
