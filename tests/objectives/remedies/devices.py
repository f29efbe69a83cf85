"""The remedies on one device and on four; started by test_remedies_on_devices.

JAX_NUM_CPU_DEVICES=4 python -m tests.objectives.remedies.devices

Prints JSON: {metric: [on one, on four]}, the largest difference of a gradient, and which collectives
the program on four has.
"""

import json

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.objectives.remedies.linear_lam import batch_of, built

LOSS = {
    "cross": 1.0,
    "cross_slots": 1,
    "own": "stopped",
    "mask": "agent_mask",
    "shift": 1,
    "feature": 0.5,
    "feature_width": 4,
}
COLLECTIVES = ("all-to-all", "collective-permute", "all-gather", "all-reduce")


def main():
    batch = batch_of(rows=8)
    objective, params, extra = built(LOSS)

    def update(params, extra, batch, key):
        def loss(params):
            found = objective.outcome(params, extra, batch, key)
            return objective.loss(found.terms), found

        gradient, found = jax.grad(loss, has_aux=True)(params)
        return objective.values(found), gradient

    key = jax.random.key(1)
    one, gradient = jax.jit(update)(params, extra, batch, key)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    rows, whole = (NamedSharding(mesh, spec) for spec in (P("data"), P()))
    given = jax.device_put((params, extra, batch, key), (whole, whole, rows, whole))
    program = jax.jit(update, out_shardings=whole).lower(*given).compile()
    four, spread = program(*given)
    pairs = zip(*map(jax.tree.leaves, (gradient, spread)), strict=True)
    text = program.as_text()
    print(
        json.dumps(
            {
                "values": {name: [float(one[name]), float(four[name])] for name in one},
                "gradient": max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs),
                "collectives": [name for name in COLLECTIVES if f" {name}(" in text],
            }
        )
    )


if __name__ == "__main__":
    main()
