"""Trains the tiny LAM on several meshes of 8 virtual devices; started by test_pretrain_meshes.

    JAX_NUM_CPU_DEVICES=8 python -m tests.experiments.meshes DATA OUT MESH...

MESH is data-fsdp-model, as 2-2-2; "elastic" trains half on 8-1-1 and continues on 2-2-2. Prints one
JSON object per line: mesh, specs of sharded parameters, bytes of state on the first device.
"""

import json
import sys

import jax

from experiments.pretrain_lam import pretrain
from flexlam_jax.training.sharding import path_name
from tests.experiments import tiny

STEPS = 8


def config(data, mesh, steps=STEPS):
    c = tiny.get_config()
    # A rounding error may flip a code; continuous slots show only rounding.
    c.model.quantizer = dict(kind="gaussian", width=4, beta=1e-3)
    c.data.path, c.total_steps = data, steps
    c.eval.every = c.checkpoint.every = 4
    c.optimizer.schedule = "constant"  # May be extended, which the elastic case does.
    c.log.tensorboard = False
    c.mesh = dict(zip(("data", "fsdp", "model"), mesh), fsdp_min_size=256)
    return c


def describe(name, state):
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    first = jax.devices()[0]
    specs = {path_name(path): str(leaf.sharding.spec) for path, leaf in leaves
             if not leaf.sharding.is_fully_replicated}
    size = sum(shard.data.nbytes for _, leaf in leaves for shard in leaf.addressable_shards
               if shard.device == first)
    print(json.dumps({"mesh": name, "specs": specs, "bytes": size}), flush=True)


def main(data, out, names):
    for name in names:
        if name == "elastic":
            pretrain(config(data, (8, 1, 1), STEPS // 2), f"{out}/{name}")
            state = pretrain(config(data, (2, 2, 2)), f"{out}/{name}")
        else:
            state = pretrain(config(data, tuple(map(int, name.split("-")))), f"{out}/{name}")
        describe(name, state)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
