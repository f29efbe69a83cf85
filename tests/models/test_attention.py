"""Every kernel behind `attend` against one plain reference, and which kernel is taken where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from flexlam_jax.models import attention
from flexlam_jax.models.attention import attend, resolve_implementation
from flexlam_jax.models.splash import padded_length


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def reference_attention(q, k, v, mask=None, causal=False):
    logits = np.einsum("blhe,bshe->bhls", q, k).astype(np.float64) / np.sqrt(q.shape[-1])
    if causal:
        logits = np.where(np.tri(*logits.shape[-2:], dtype=bool), logits, -np.inf)
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bhls,bshe->blhe", weights / weights.sum(-1, keepdims=True), v)


@pytest.mark.parametrize("implementation", ["auto", "xla"])
@pytest.mark.parametrize("case", ["plain", "causal", "mask"])
def test_attention_equals_the_reference(implementation, case):
    q, k, v = normal(0, 2, 5, 3, 8), normal(1, 2, 5, 3, 8), normal(2, 2, 5, 3, 8)
    mask = np.asarray(normal(3, 2, 1, 5, 5) > 0) | np.eye(5, dtype=bool) if case == "mask" else None
    settings = {"causal": case == "causal", "mask": mask}
    out = attend(q, k, v, implementation=implementation, **settings)
    np.testing.assert_allclose(out, reference_attention(q, k, v, **settings), atol=2e-6)


def test_attention_takes_any_batch_axes_and_other_key_lengths():
    q, k, v = normal(0, 2, 3, 4, 2, 8), normal(1, 2, 3, 6, 2, 8), normal(2, 2, 3, 6, 2, 8)
    out = attend(q, k, v, implementation="xla")
    for i in range(2):
        np.testing.assert_allclose(out[i], reference_attention(q[i], k[i], v[i]), atol=2e-6)


@pytest.mark.parametrize(
    ("L", "S", "causal"), [(128, 128, False), (20, 36, False), (130, 130, True)]
)
def test_splash_equals_xla_with_its_gradients(L, S, causal):
    """The TPU kernel, interpreted: lengths that are padded and one that is not."""
    q, k, v = normal(0, 2, L, 2, 8), normal(1, 2, S, 2, 8), normal(2, 2, S, 2, 8)

    def total(implementation):
        def run(q, k, v):
            out = attend(q, k, v, causal=causal, implementation=implementation)
            return jnp.sum(jnp.sin(out)), out

        return jax.jit(jax.value_and_grad(run, (0, 1, 2), has_aux=True))(q, k, v)

    ((_, out), gradients), ((_, want), wanted) = total("splash"), total("xla")
    # The kernel's softmax runs over blocks and divides last: a few float32 roundings apart.
    np.testing.assert_allclose(out, want, atol=5e-6)
    for a, b in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_auto_picks_by_platform_type_and_length():
    def picked(*args, **kwargs):
        return resolve_implementation("auto", *args, **kwargs)

    assert picked(jnp.bfloat16, "gpu", keys=80) == "cudnn"
    assert picked(jnp.float32, "gpu", keys=80) == "xla"
    assert picked(jnp.bfloat16, "gpu", keys=80, head_width=12) == "xla"
    assert picked(jnp.bfloat16, "gpu", keys=80, head_width=256) == "xla"
    assert picked(jnp.bfloat16, "cpu", keys=4096) == "xla"
    assert picked(jnp.bfloat16, "tpu", keys=528) == "splash"
    assert picked(jnp.bfloat16, "tpu", keys=272) == "xla"
    assert picked(jnp.bfloat16, "tpu", keys=528, masked=True) == "xla"
    with pytest.raises(ValueError, match="flash"):
        resolve_implementation("flash", jnp.float32)


def test_auto_follows_the_mesh_that_is_compiled_for():
    """Ahead of time for a TPU on a host without one: the host's backend must not decide."""
    device = jax.sharding.AbstractDevice("TPU v5 lite", 1, "tpu")
    mesh = AbstractMesh((1,), ("data",), axis_types=(AxisType.Auto,), abstract_device=device)
    assert attention.compile_platform() == "cpu"
    with jax.sharding.use_abstract_mesh(mesh):
        assert attention.compile_platform() == "tpu"
        assert resolve_implementation("auto", jnp.bfloat16, keys=528) == "splash"


def test_splash_refuses_masks():
    q = normal(0, 3, 4, 2, 8)
    with pytest.raises(ValueError, match="no mask"):
        attend(q, q, q, mask=jnp.ones((4, 4), bool), implementation="splash")


def test_padding():
    assert [padded_length(n) for n in (1, 128, 129, 528)] == [128, 128, 256, 640]


def test_attention_logits_are_float32_under_bfloat16():
    """Logits 256 and 256.5 are one number in bfloat16 and two in float32."""
    q = jnp.full((1, 1, 1, 4), 8.0, jnp.bfloat16)
    k = jnp.full((1, 2, 1, 4), 16.0, jnp.bfloat16).at[0, 1, 0, 0].set(16.125)
    v = jnp.zeros((1, 2, 1, 4), jnp.bfloat16).at[:, 1].set(1.0)
    out = attend(q, k, v, implementation="xla").astype(jnp.float32)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-0.5)), atol=0.005)
