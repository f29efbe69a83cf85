"""Analytic FLOPs, counted on the traced program: no formula that could drift from the code.

Counted are matrix products and convolutions, two operations per multiply-add, as MFU is defined;
element-wise work, softmax and norms are not. A scanned body counts once per iteration, which
`compiled.cost_analysis()` does not do (it counts loop bodies once), and recomputation by remat does
not count in a forward trace, as model FLOPs demand.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.lam import LatentActionModel


def program_flops(function: Callable, *args) -> float:
    """Matmul and convolution FLOPs of function(*args), abstractly; args: ShapeDtypeStructs."""
    return _jaxpr_flops(jax.make_jaxpr(function)(*args).jaxpr)


def _jaxpr_flops(jaxpr) -> float:
    return float(sum(_equation_flops(equation) for equation in jaxpr.eqns))


def _equation_flops(equation) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contract, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        depth = math.prod(shape[i] for i in contract)
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * depth
    if name == "conv_general_dilated":
        # Kernel positions x input channels of a group: the multiply-adds behind one output value.
        kernel = equation.invars[1].aval.shape
        out_features = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / out_features
    if name == "cond":
        return max(_jaxpr_flops(branch.jaxpr) for branch in params["branches"])
    if name == "while":
        raise ValueError("the FLOPs of a while loop depend on its data; use scan")
    inner = sum(_jaxpr_flops(getattr(p, "jaxpr", p)) for p in params.values() if _is_jaxpr(p))
    return inner * params["length"] if name == "scan" else inner


def _is_jaxpr(value) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def forward_flops(
    model: LatentActionModel, clip_shape: tuple[int, int, int, int], prefixes: int = 1
) -> float:
    """Forward FLOPs of a LAM for one clip (T, H, W, C): an encoding, and `prefixes` decodings."""
    plain = with_plain_attention(model)
    frames = jax.ShapeDtypeStruct((1, *clip_shape), jnp.uint8)
    variables = jax.eval_shape(plain.init, jax.random.key(0), frames)

    def predict(variables: Any, frames: jax.Array) -> jax.Array:
        keep = jnp.ones((1, clip_shape[0] - 1, prefixes), jnp.int32)
        output: Any = plain.apply(variables, frames, keep)
        return output.prediction

    return program_flops(predict, variables, frames)


def training_flops(
    model: LatentActionModel, clip_shape: tuple[int, int, int, int], prefixes: int = 1
) -> float:
    """Forward and backward FLOPs of one clip: three times the forward, as every matmul has two
    in the backward pass.
    """
    return 3.0 * forward_flops(model, clip_shape, prefixes)


def with_plain_attention(model: Any) -> Any:
    """A model of blocks, or of an encoder and a decoder, for counting: fused kernels are opaque, and
    the count does not depend on them.
    """
    if hasattr(model, "block"):
        return model.clone(block=dataclasses.replace(model.block, attention="xla"))
    halves = [name for name in ("encoder", "decoder") if hasattr(model, name)]
    return model.clone(**{name: with_plain_attention(getattr(model, name)) for name in halves})
