import numpy as np

from flexlam_jax.models.rotary import rotate


def test_products_depend_on_distance_alone():
    q, k = np.random.default_rng(0).normal(size=(2, 1, 6, 2, 8)).astype(np.float32)
    at = np.arange(6)[None]

    def products(shift):
        a, b = rotate(q, at + shift), rotate(k, at + shift)
        return np.einsum("blhe,bmhe->hlm", a, b)

    np.testing.assert_allclose(products(0), products(1000), atol=2e-3)
    near, far = rotate(q, at), rotate(q, at + 1)
    np.testing.assert_array_equal(rotate(q, 0 * at), q)
    np.testing.assert_allclose((near**2).sum(-1), (far**2).sum(-1), rtol=1e-5)
    assert abs(near - far).max() > 0.1
