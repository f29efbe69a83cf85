"""Dense layers, blocks and stacks against plain references; remat and scan only change the cost."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.dense import Dense, matmul
from flexlam_jax.models.transformer import Block, BlockSettings, RMSNorm, Transformer

BLOCK = BlockSettings(heads=2, mlp_hidden=32)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


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
            if equation.primitive.name == "dot_general" and 10 not in equation.outvars[0].aval.shape
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


def test_gradients_of_bfloat16_kernels_are_float32():
    """To the last bit of float32: rounded to bfloat16, they would be summed over devices in it."""
    x, kernel, cotangent = normal(0, 64, 8), normal(1, 8, 12), normal(2, 64, 12)
    x, cotangent = x.astype(jnp.bfloat16), cotangent.astype(jnp.bfloat16)
    out, pull = jax.vjp(matmul, x, kernel)
    x_gradient, kernel_gradient = pull(cotangent)
    assert out.dtype == x_gradient.dtype == jnp.bfloat16 and kernel_gradient.dtype == jnp.float32
    exact = np.asarray(x, np.float64).T @ np.asarray(cotangent, np.float64)
    np.testing.assert_allclose(kernel_gradient, exact, rtol=1e-5, atol=1e-5)


def test_rms_norm():
    x = normal(0, 4, 6) * 3 + 1
    out = RMSNorm().apply({"params": {"scale": jnp.full(6, 2.0)}}, x)
    np.testing.assert_allclose(out, 2 * x / np.sqrt((x**2).mean(-1, keepdims=True)), rtol=1e-5)


def test_reading_a_few_tokens_equals_slicing_the_whole_block():
    x = normal(0, 2, 7, 16)
    full, read = Block(BLOCK), Block(BLOCK)
    params = jax.jit(full.init)(jax.random.key(1), x)["params"]
    qkv = params["attention"]["qkv"]["kernel"]
    parts = {"query": {"kernel": qkv[:, :, :1]}, "kv": {"kernel": qkv[:, :, 1:]}}
    others = {k: v for k, v in params["attention"].items() if k != "qkv"}
    reading = {"params": {**params, "attention": {**others, **parts}}}
    few = jax.jit(lambda v, x: read.apply(v, x, queries=3))(reading, x)
    np.testing.assert_allclose(few, jax.jit(full.apply)({"params": params}, x)[:, :3], atol=1e-5)


def test_causal_block_by_gradient():
    x = normal(0, 1, 6, 16)
    block = Block(BLOCK, causal=True)
    variables = jax.jit(block.init)(jax.random.key(1), x)
    jacobian = jax.jit(jax.jacrev(lambda x: block.apply(variables, x).sum(-1)[0]))
    gradient = jacobian(x)[:, 0]  # (L, L, M)
    reach = np.abs(gradient).max(-1) > 0
    np.testing.assert_array_equal(reach, np.tri(6, dtype=bool))


def transformer(**settings):
    return Transformer(3, dataclasses.replace(BLOCK, **settings), cross=True)


@pytest.fixture(scope="module")
def stack():
    """Input, context, variables and the plain stack's value and gradient."""
    x, context = normal(0, 2, 5, 16), normal(1, 2, 4, 16)
    plain = transformer()
    variables = jax.jit(plain.init)(jax.random.key(2), x, context)
    return x, context, variables, value_and_gradient(plain, variables, x, context)


def value_and_gradient(module, variables, x, context):
    def total(variables, x):
        return jnp.sum(jnp.sin(module.apply(variables, x, context)))

    return jax.jit(jax.value_and_grad(total, (0, 1)))(variables, x)


@pytest.mark.parametrize(
    ("remat", "unroll"),
    [("none", True), ("full", False), ("full", True), ("mlp", False), ("dots", False)],
)
def test_remat_and_unrolling_keep_values_and_gradients(stack, remat, unroll):
    x, context, variables, expected = stack
    module = transformer(remat=remat, unroll=unroll)
    found = value_and_gradient(module, variables, x, context)
    chex.assert_trees_all_close(found, expected, rtol=2e-4, atol=2e-5)


def saved_bytes(stack, remat):
    """Bytes of activations that the forward pass keeps for the backward one."""
    x, context, variables, _ = stack
    module = transformer(remat=remat)

    def apply(x):
        return module.apply(variables, x, context)

    _, backward = jax.eval_shape(lambda x: jax.vjp(apply, x), x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


def test_the_policies_really_differ(stack):
    """Guards the test above: the sides it compares are different programs."""
    saved = [saved_bytes(stack, name) for name in ("full", "mlp", "dots", "none")]
    assert all(less < 0.9 * more for less, more in itertools.pairwise(saved)), saved

    def loops(unroll):
        x, context, variables, _ = stack
        module = transformer(unroll=unroll)
        return jax.jit(module.apply).lower(variables, x, context).as_text().count("stablehlo.while")

    assert loops(False) == 1 and loops(True) == 0


def test_the_scanned_stack_is_its_blocks_one_after_the_other(stack):
    x, context, variables, _ = stack
    block = jax.jit(Block(BLOCK, cross=True).apply)
    out = x
    for i in range(3):
        layer = jax.tree.map(lambda p, i=i: p[i], variables["params"]["layers"])
        out = block({"params": layer}, out, context)
    whole = jax.jit(transformer().apply)(variables, x, context)
    np.testing.assert_allclose(whole, out, atol=1e-5)
    kernels = variables["params"]["layers"]["mlp"]["up"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3, "layers are initialised independently"
