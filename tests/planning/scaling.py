"""Compiles a small LAM's training step on meshes of virtual devices; started by test_scaling.

    JAX_NUM_CPU_DEVICES=8 python -m tests.planning.scaling AXIS:DEVICES:ROWS...

ROWS per device. Prints one JSON object per line: collectives by kind, bytes of state and arguments.
"""

import json
import sys

import jax

from flexlam_jax.planning.compile import compile_step
from flexlam_jax.planning.hlo import by_kind, collectives
from flexlam_jax.planning.plan import lam_on_paper
from tests.experiments.tiny import get_config


def describe(axis, devices, rows):
    config = get_config()
    config.batch_size, config.optimizer.ema_decay = rows * devices, 0.0
    config.mesh = dict(data=1, fsdp=1, model=1, fsdp_min_size=0) | {axis: devices}
    objective, batch = lam_on_paper(config)
    step = compile_step(objective, batch, config, jax.devices()[:devices])
    return {"axis": axis, "devices": devices, "rows": rows, "argument": step.memory.argument,
            "frames": rows * 3 * 16 * 16 * 3, "alias": step.memory.alias,
            "collectives": by_kind(collectives(step.hlo, devices))}


if __name__ == "__main__":
    for job in sys.argv[1:]:
        axis, *numbers = job.split(":")
        print(json.dumps(describe(axis, *map(int, numbers))), flush=True)
