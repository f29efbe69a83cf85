"""Compiles a small LAM's training step on meshes of virtual devices; started by test_scaling.

    JAX_NUM_CPU_DEVICES=8 python -m tests.planning.scaling AXIS:DEVICES:ROWS...

ROWS per device. Prints one JSON object per line: the fields of Scaled, and bytes of the frames.
"""

import dataclasses
import json
import sys

from experiments.tasks.registry import on_paper
from flexlam_jax.planning.scaling import scaled
from tests.experiments.tiny import get_config


def describe(axis, devices, rows):
    config = get_config()
    config.batch_size, config.mesh.fsdp_min_size = rows, 0
    return dataclasses.asdict(scaled(config, axis, devices, on_paper)) | {
        "frames": rows * 3 * 16 * 16 * 3
    }


if __name__ == "__main__":
    for job in sys.argv[1:]:
        axis, *numbers = job.split(":")
        print(json.dumps(describe(axis, *map(int, numbers))), flush=True)
