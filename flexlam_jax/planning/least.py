"""The least that a training step must move between main memory and the core, on paper.

Every matrix product reads its two operands and writes its result once, element-wise work is fused
into the products for nothing, and the optimizer reads and writes its state once. Batched products
(attention) are left out: a fused kernel keeps them on the chip. No compiled program moves less,
unless it keeps results of one product on the chip for the next; a program that moves many times as
much has been compiled badly.
"""

import math
from collections.abc import Callable

import jax

# float32 parameter, two moments and gradient read; parameter and two moments written.
_STATE_BYTES = 4 * 7


def product_bytes(function: Callable, *args) -> float:
    """Bytes of operands and results of all unbatched products of function(*args); args abstract."""
    return _jaxpr_bytes(jax.make_jaxpr(function)(*args).jaxpr)


def state_bytes(parameters: int, ema: bool) -> float:
    """Bytes of AdamW's pass over `parameters` values, and over their average."""
    return parameters * (_STATE_BYTES + 8.0 * ema)


def _jaxpr_bytes(jaxpr) -> float:
    return float(sum(_equation_bytes(equation) for equation in jaxpr.eqns))


def _equation_bytes(equation) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general" and params["dimension_numbers"][1][0]:
        return 0.0
    if name in ("dot_general", "conv_general_dilated"):
        return sum(
            math.prod(v.aval.shape) * v.aval.dtype.itemsize
            for v in (*equation.invars, *equation.outvars)
        )
    if name == "cond":
        return max(_jaxpr_bytes(branch.jaxpr) for branch in params["branches"])
    inner = sum(
        _jaxpr_bytes(getattr(p, "jaxpr", p))
        for p in params.values()
        if hasattr(p, "eqns") or hasattr(p, "jaxpr")
    )
    return inner * params["length"] if name == "scan" else inner
