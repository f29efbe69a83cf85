"""One process of a group that trains the toy; what the tests in this folder start.

    python -m tests.distributed.worker --out=OUT --scenarios=SCENARIO,...

Scenarios run one after the other in the same processes, each on OUT/<scenario>. Every process
prints one line per scenario: "scenario: what happened".
"""

import functools
import json
import os
import shutil
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import flags
from jax.experimental import mesh_utils

from experiments import cli
from flexlam_jax.checkpoints import files as checkpoint_files
from flexlam_jax.errors import Interrupted, UserError
from flexlam_jax.parallel import distributed, sharding
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.training.loop import fit
from tests.training import toy

STEPS = 20
MESHES = {
    "fsdp": dict(data=1, fsdp=-1),
    "slices": dict(slice=2, data=1, fsdp=-1),
    "tensor": dict(data=-1, model=2),
}


class Rows(toy.Rows):
    """Slow enough to be killed in time; may fail or hang on one process."""

    def __init__(self, *args, wait=0.0, fails=False, hangs=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.wait, self.fails, self.hangs = wait, fails, hangs

    def __next__(self):
        time.sleep(1000 if self.hangs and self.next_index == 6 else self.wait)
        if self.fails and self.next_index == 6:
            raise OSError("shard 3 is truncated")
        return super().__next__()


def train(workdir, mesh=None, *, wait=0.0, fails=False, hangs=False, hidden=32, **overrides):
    config = toy.config(
        total_steps=STEPS,
        batch_size=16,
        checkpoint__every=5,
        checkpoint__keep=3,
        log__every=1,
        log__tensorboard=True,
        eval__every=10,
        **overrides,
    )
    config.mesh = {**(mesh or dict(data=1, fsdp=-1)), "fsdp_min_size": 64}
    rows = sharding.process_rows(make_mesh(config.mesh), 16)
    return fit(
        toy.objective(hidden=hidden, noise=0.1, count_updates=True),
        Rows(batch_size=16, rows=rows, wait=wait, fails=fails, hangs=hangs),
        config,
        workdir,
        evaluate=evaluate,
    )


def evaluate(state):
    norm = jax.jit(
        lambda tree: sum(abs(leaf).sum() for leaf in jax.tree.leaves(tree)),
        out_shardings=sharding.replicated(state.step.sharding.mesh),
    )
    return {"validation/norm": float(norm(state.params))}


def only_first(action):
    """Runs it on process 0 and lets the others wait."""
    if jax.process_index() == 0:
        action()
    distributed.broadcast("done", "")


def damaged(out, name):
    """The newest step of a finished run loses half of its files' bytes."""

    def damage():
        shutil.copytree(out / "fsdp", out / name)
        for file in (out / name / "checkpoints" / str(STEPS) / "params").rglob("d/*"):
            os.truncate(file, file.stat().st_size // 2)

    only_first(damage)
    train(out / name)


def unreadable_for_one(out, name):
    """Process 1 alone cannot read the newest step, inside Orbax."""
    only_first(lambda: shutil.copytree(out / "fsdp", out / name))
    read = ocp.StandardCheckpointHandler.restore

    def fails(self, directory, *args, **kwargs):
        if jax.process_index() == 1 and directory.parent.name == str(STEPS):
            raise OSError("connection to the storage broke")
        return read(self, directory, *args, **kwargs)

    ocp.StandardCheckpointHandler.restore = fails
    try:
        train(out / name)
    finally:
        ocp.StandardCheckpointHandler.restore = read


def newer_format(out, name):
    only_first(lambda: shutil.copytree(out / "fsdp", out / name))
    checkpoint_files.FORMAT = 0
    try:
        train(out / name)
    finally:
        checkpoint_files.FORMAT = 1


def torus(out, name):
    """As on a TPU, neighbours in the mesh are of several hosts: a process holds two blocks of rows."""
    in_order = mesh_utils.create_device_mesh

    def scattered(shape, devices, **kwargs):
        return np.array(devices).reshape(2, 2).T.reshape(shape)

    mesh_utils.create_device_mesh = scattered
    try:
        train(out / name)
    finally:
        mesh_utils.create_device_mesh = in_order


def uncommitted(out, name):
    """A step directory under its final name, but nothing in it: as if the rename came too early."""

    def leave():
        shutil.copytree(out / "fsdp", out / name)
        (out / name / "checkpoints" / "99").mkdir()

    only_first(leave)
    train(out / name)


SCENARIOS = {
    **{
        name: functools.partial(lambda mesh, out, name: train(out / name, mesh), mesh)
        for name, mesh in MESHES.items()
    },
    "whole": lambda out, name: train(out / name),
    "slow": lambda out, name: train(out / name, wait=0.02),
    "slower": lambda out, name: train(out / name, wait=0.3),
    "fails": lambda out, name: train(out / name, wait=0.02, fails=jax.process_index() == 1),
    "hangs": lambda out, name: train(out / name, hangs=True, watchdog_seconds=3.0),
    "damaged": damaged,
    "unreadable_for_one": unreadable_for_one,
    "newer_format": newer_format,
    "uncommitted": uncommitted,
    "torus": torus,
    "other_seed": lambda out, name: train(out / name, seed=jax.process_index()),
    "other_folder": lambda out, name: train(out / f"{name}{jax.process_index()}"),
    "other_config": lambda out, name: train(out / "fsdp", optimizer__b1=0.8),
    "other_model": lambda out, name: train(out / "fsdp", hidden=64),
}


def main(argv):
    del argv
    cli.join_processes()
    out, names = Path(flags.FLAGS.out), flags.FLAGS.scenarios
    for name in names:
        try:
            SCENARIOS[name](out, name)
            told = "trained"
        except (UserError, Interrupted) as error:
            if len(names) == 1:
                raise
            told = f"{type(error).__name__}: {error}"
        print("SAID " + json.dumps([name, told]), flush=True)


if __name__ == "__main__":
    cli.define_process_flags()
    flags.DEFINE_string("out", None, "Folder of all scenarios.")
    flags.DEFINE_list("scenarios", None, "What to do, one after the other.")
    cli.run(main)
