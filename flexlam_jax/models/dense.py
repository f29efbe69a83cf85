"""Matrix products of activations and kernels, with a backward pass that spares wide transposes.

Dimension keys: ... batch axes, R rows (all batch axes), M inputs, F outputs.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flexlam_jax.parallel.rows import constrain_rows

lecun = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


@jax.custom_vjp
def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (..., M) @ kernel (M, F) -> (..., F), computed in the type of x.

    The kernel's gradient leaves the product in the kernel's own type, float32: rounded to bfloat16
    first, it would also be summed over devices in bfloat16, and of 256 summands most are smaller
    than the sum's last bit.

    The kernel's gradient contracts over all rows, for which XLA:CPU first transposes the left
    operand, and autodiff always puts the output's cotangent there, with whatever element-wise
    gradient is fused into the copy. Here the narrower of the two operands goes left. A GELU MLP of
    width 256 trains 2.3 times faster on two cores for it, and on accelerators it changes nothing.
    """
    return x @ kernel.astype(x.dtype)


def _forward(x, kernel):
    # Spelled out: a call of `matmul` would hide the product from remat policies.
    return x @ kernel.astype(x.dtype), (x, kernel)


def _backward(saved, gradient):
    x, kernel = saved
    x_RM = x.reshape(-1, x.shape[-1])
    g_RF = gradient.reshape(-1, gradient.shape[-1])
    rows = (((0,), (0,)), ((), ()))
    if x_RM.shape[1] <= g_RF.shape[1]:
        kernel_gradient = lax.dot_general(x_RM, g_RF, rows, preferred_element_type=kernel.dtype)
    else:
        kernel_gradient = lax.dot_general(g_RF, x_RM, rows, preferred_element_type=kernel.dtype).T
    x_gradient = lax.dot_general(g_RF, kernel.astype(x.dtype), (((1,), (1,)), ((), ())))
    return x_gradient.reshape(x.shape), kernel_gradient


matmul.defvjp(_forward, _backward)


class Dense(nn.Module):
    """Affine map of the last axis with float32 parameters, computed in `dtype`.

    `shape` is the shape of the output axis or axes: F, or (heads, parts, head width) for attention.
    The kernel is stored as (M, *shape), so that sharding rules can name the head axis.
    """

    shape: int | tuple[int, ...]
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Any = lecun

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        M, F = x.shape[-1], math.prod(shape)

        def init(key):
            return self.kernel_init(key, (M, F), jnp.float32).reshape(M, *shape)

        kernel = self.param("kernel", init).reshape(M, F)
        out = constrain_rows(matmul(constrain_rows(x.astype(self.dtype)), kernel))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
            out = out + bias.reshape(F).astype(self.dtype)
        return out.reshape(*x.shape[:-1], *shape)
