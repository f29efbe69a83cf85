"""Attention, blocks and stacks against plain references; remat and scan only change the cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.attention import attend, resolve_implementation
from flexlam_jax.models.dense import Dense, matmul
from flexlam_jax.models.transformer import Block, RMSNorm, Transformer


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


@pytest.mark.parametrize("implementation", ["auto", "einsum", "xla"])
@pytest.mark.parametrize("case", ["plain", "causal", "mask"])
def test_attention_equals_the_reference(implementation, case):
    q, k, v = normal(0, 2, 5, 3, 8), normal(1, 2, 5, 3, 8), normal(2, 2, 5, 3, 8)
    mask = np.asarray(normal(3, 2, 1, 5, 5) > 0) | np.eye(5, dtype=bool) if case == "mask" else None
    settings = {"causal": case == "causal", "mask": mask}
    out = attend(q, k, v, implementation=implementation, **settings)
    np.testing.assert_allclose(out, reference_attention(q, k, v, **settings), atol=2e-6)


@pytest.mark.parametrize("implementation", ["einsum", "xla"])
def test_attention_takes_any_batch_axes_and_other_key_lengths(implementation):
    q, k, v = normal(0, 2, 3, 4, 2, 8), normal(1, 2, 3, 6, 2, 8), normal(2, 2, 3, 6, 2, 8)
    out = attend(q, k, v, implementation=implementation)
    for i in range(2):
        np.testing.assert_allclose(out[i], reference_attention(q[i], k[i], v[i]), atol=2e-6)


def test_auto_picks_by_backend_and_type():
    assert resolve_implementation("auto", jnp.bfloat16, "gpu") == "cudnn"
    assert resolve_implementation("auto", jnp.float32, "gpu") == "einsum"
    assert resolve_implementation("auto", jnp.bfloat16, "cpu") == "einsum"
    with pytest.raises(ValueError, match="flash"):
        resolve_implementation("flash", jnp.float32)


def test_attention_logits_are_float32_under_bfloat16():
    """Logits 256 and 256.5 are one number in bfloat16 and two in float32."""
    q = jnp.full((1, 1, 1, 4), 8.0, jnp.bfloat16)
    k = jnp.full((1, 2, 1, 4), 16.0, jnp.bfloat16).at[0, 1, 0, 0].set(16.125)
    v = jnp.zeros((1, 2, 1, 4), jnp.bfloat16).at[:, 1].set(1.0)
    out = attend(q, k, v, implementation="einsum").astype(jnp.float32)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-0.5)), atol=0.005)


@pytest.mark.parametrize("widths", [(4, 16), (16, 4)])
def test_matmul_gradient_is_autodiff_s(widths):
    x, kernel = normal(0, 3, 5, widths[0]), normal(1, *widths)

    def total(product):
        return lambda x, kernel: jnp.sum(jnp.sin(product(x, kernel)))

    mine = jax.grad(total(matmul), (0, 1))(x, kernel)
    theirs = jax.grad(total(jnp.matmul), (0, 1))(x, kernel)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_matmul_contracts_rows_without_transposing_the_wide_operand():
    """The reason for the hand-written gradient: the narrow operand stands left."""
    for M, F in ((8, 64), (64, 8)):
        x, kernel = jnp.ones((10, M)), jnp.ones((M, F))
        program = jax.make_jaxpr(jax.grad(lambda w, x=x: matmul(x, w).sum()))(kernel)
        left = [
            equation.invars[0].aval.shape
            for equation in program.eqns
            if equation.primitive.name == "dot_general"
            and 10 not in equation.outvars[0].aval.shape
        ]
        assert left == [(10, 8)]


def test_dense_keeps_the_shape_of_its_heads():
    dense = Dense((3, 2, 4))
    x = normal(0, 5, 8)
    variables = dense.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (8, 3, 2, 4) and variables["params"]["bias"].shape == (3, 2, 4)
    np.testing.assert_allclose(
        dense.apply(variables, x), jnp.einsum("bm,mphe->bphe", x, kernel), atol=1e-5
    )


def test_rms_norm():
    x = normal(0, 4, 6) * 3 + 1
    out = RMSNorm().apply({"params": {"scale": jnp.full(6, 2.0)}}, x)
    np.testing.assert_allclose(out, 2 * x / np.sqrt((x**2).mean(-1, keepdims=True)), rtol=1e-5)


def test_reading_a_few_tokens_equals_slicing_the_whole_block():
    x = normal(0, 2, 7, 16)
    full, read = Block(heads=2, mlp_hidden=32), Block(heads=2, mlp_hidden=32)
    params = jax.jit(full.init)(jax.random.key(1), x)["params"]
    qkv = params["attention"]["qkv"]["kernel"]
    parts = {"query": {"kernel": qkv[:, :, :1]}, "kv": {"kernel": qkv[:, :, 1:]}}
    others = {k: v for k, v in params["attention"].items() if k != "qkv"}
    reading = {"params": {**params, "attention": {**others, **parts}}}
    few = jax.jit(lambda v, x: read.apply(v, x, queries=3))(reading, x)
    np.testing.assert_allclose(few, jax.jit(full.apply)({"params": params}, x)[:, :3], atol=1e-5)


def test_causal_block_by_gradient():
    x = normal(0, 1, 6, 16)
    block = Block(heads=2, mlp_hidden=32, causal=True)
    variables = jax.jit(block.init)(jax.random.key(1), x)
    jacobian = jax.jit(jax.jacrev(lambda x: block.apply(variables, x).sum(-1)[0]))
    gradient = jacobian(x)[:, 0]  # (L, L, M)
    reach = np.abs(gradient).max(-1) > 0
    np.testing.assert_array_equal(reach, np.tri(6, dtype=bool))


STACK = {"layers": 3, "heads": 2, "mlp_hidden": 32}


@pytest.fixture(scope="module")
def stack():
    """Input, context, variables and the plain stack's value and gradient."""
    x, context = normal(0, 2, 5, 16), normal(1, 2, 4, 16)
    plain = Transformer(**STACK, cross=True)
    variables = jax.jit(plain.init)(jax.random.key(2), x, context)
    return x, context, variables, value_and_gradient(plain, variables, x, context)


def value_and_gradient(module, variables, x, context):
    def total(variables, x):
        return jnp.sum(jnp.sin(module.apply(variables, x, context)))

    return jax.jit(jax.value_and_grad(total, (0, 1)))(variables, x)


@pytest.mark.parametrize(
    ("remat", "unroll"), [("none", True), ("full", False), ("full", True), ("dots", False)]
)
def test_remat_and_unrolling_keep_values_and_gradients(stack, remat, unroll):
    x, context, variables, expected = stack
    module = Transformer(**STACK, cross=True, remat=remat, unroll=unroll)
    found = value_and_gradient(module, variables, x, context)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def saved_bytes(stack, remat):
    """Bytes of activations that the forward pass keeps for the backward one."""
    x, context, variables, _ = stack
    module = Transformer(**STACK, cross=True, remat=remat)

    def apply(x):
        return module.apply(variables, x, context)

    _, backward = jax.eval_shape(lambda x: jax.vjp(apply, x), x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


def test_the_policies_really_differ(stack):
    """Guards the test above: the sides it compares are different programs."""
    none, dots, full = (saved_bytes(stack, name) for name in ("none", "dots", "full"))
    assert full < 0.8 * dots and dots < 0.8 * none, (full, dots, none)

    def loops(unroll):
        x, context, variables, _ = stack
        module = Transformer(**STACK, cross=True, unroll=unroll)
        return jax.jit(module.apply).lower(variables, x, context).as_text().count("stablehlo.while")

    assert loops(False) == 1 and loops(True) == 0


def test_the_scanned_stack_is_its_blocks_one_after_the_other(stack):
    x, context, variables, _ = stack
    block = jax.jit(Block(heads=2, mlp_hidden=32, cross=True).apply)
    out = x
    for i in range(3):
        layer = jax.tree.map(lambda p, i=i: p[i], variables["params"]["layers"])
        out = block({"params": layer}, out, context)
    whole = jax.jit(Transformer(**STACK, cross=True).apply)(variables, x, context)
    np.testing.assert_allclose(whole, out, atol=1e-5)
    kernels = variables["params"]["layers"]["mlp"]["up"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3, "layers are initialised independently"
