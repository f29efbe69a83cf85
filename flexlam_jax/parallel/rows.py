"""Keeps the rows of activations where the rows of the batch are.

Without it the partitioner is free to spread the layout of a parameter to the activations: with
parameters split over `fsdp` it then splits the hidden units and computes every row on every device,
with a sum over devices after each layer, instead of gathering a layer's parameters when needed.
"""

import math

import jax
from jax.sharding import PartitionSpec as P

from flexlam_jax.parallel.axes import TENSOR_AXIS


def constrain_rows(x: jax.Array) -> jax.Array:
    """Splits the first dimension of x (B, ...) over all mesh axes but `model`, and its gradient's.

    The other dimensions stay free. No-op without a mesh (`jax.set_mesh`), on one device, and for
    rows that the mesh does not divide (initialisation looks at one row only).
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(name for name in mesh.axis_names if name != TENSOR_AXIS)
    ways = math.prod(mesh.shape[name] for name in axes)
    if ways == 1 or x.ndim == 0 or x.shape[0] % ways:
        return x
    return jax.lax.with_sharding_constraint(x, P(axes, *[P.UNCONSTRAINED] * (x.ndim - 1)))
