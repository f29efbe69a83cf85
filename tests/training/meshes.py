"""Trains the toy on several meshes of 8 virtual devices; started by test_meshes.

    JAX_NUM_CPU_DEVICES=8 python -m tests.training.meshes OUT MESH...

MESH is data-fsdp-model, as 2-2-2, or slice-data-fsdp-model; a-b-c+d-e-f trains half on the first
mesh and continues on the second. Prints one JSON object per line: mesh, sharded leaves, bytes of
state on the first device.
"""

import json
import sys

import jax

from flexlam_jax.parallel.axes import AXES
from flexlam_jax.parallel.sharding import path_name
from flexlam_jax.training.loop import fit
from tests.training import toy

STEPS = 10


def train(out, name):
    stages = name.split("+")
    for number, sizes in enumerate(stages):
        config = toy.config(
            total_steps=STEPS * (number + 1) // len(stages),
            checkpoint__every=5,
            log__every=1,
            batch_size=16,
            optimizer__schedule="constant",
        )
        numbers = [int(size) for size in sizes.split("-")]
        config.mesh = dict(zip(AXES[-len(numbers) :], numbers, strict=True), fsdp_min_size=64)
        state = fit(
            toy.objective(hidden=32, noise=0.1, count_updates=True),
            toy.Rows(batch_size=16),
            config,
            f"{out}/{name}",
        )
    return state


def describe(name, state):
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    specs = {
        path_name(path): [list(p) if isinstance(p, tuple) else p for p in leaf.sharding.spec]
        for path, leaf in leaves
        if not leaf.sharding.is_fully_replicated
    }
    size = sum(
        shard.data.nbytes
        for _, leaf in leaves
        for shard in leaf.addressable_shards
        if shard.device == jax.devices()[0]
    )
    print(json.dumps({"mesh": name, "specs": specs, "bytes": size}), flush=True)


if __name__ == "__main__":
    for mesh in sys.argv[2:]:
        describe(mesh, train(sys.argv[1], mesh))
