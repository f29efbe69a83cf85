"""Known answer: a linear autoencoder trained through the prefix bottleneck finds the principal
components in order (Rippel et al. 2014, arXiv 1402.0915)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flexlam_jax.models.bottleneck import null_fill, sample_keep


def test_prefixes_of_a_linear_autoencoder_are_principal_subspaces():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    scales = np.array([3.0, 2.0, 1.3, 0.8, 0.1, 0.1, 0.1, 0.1])
    data = jnp.asarray((rng.normal(size=(2048, 8)) * scales) @ basis.T, jnp.float32)
    components = np.linalg.eigh(np.cov(data.T))[1][:, ::-1]

    params = {"encode": 0.3 * rng.normal(size=(8, 4)), "decode": 0.3 * rng.normal(size=(4, 8))}
    params = jax.tree.map(jnp.float32, params)

    def loss(params, key):
        keep = sample_keep(key, {"kind": "uniform"}, len(data), slots=4)
        slots = null_fill((data @ params["encode"])[..., None], keep, jnp.zeros(1))[..., 0]
        return jnp.mean(jnp.sum((slots @ params["decode"] - data) ** 2, -1))

    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 1500))

    @jax.jit
    def train(params):
        def step(carry, key):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, key), state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(jax.random.key(0), 1500)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    decode = np.asarray(train(params)["decode"])
    directions = decode / np.linalg.norm(decode, axis=-1, keepdims=True)
    alignment = np.abs(directions @ components[:, :4])
    assert np.all(np.diag(alignment) > 0.97), alignment.round(2)
