"""Where every parameter of every preset lives, as text: tests/training/goldens/PRESET.txt.

    python -m tests.training.goldens        writes the files anew; look at `git diff` then

Abstract meshes, so no devices are needed. test_goldens.py compares.
"""

import importlib
from pathlib import Path

import jax

from experiments.tasks.registry import on_paper
from flexlam_jax.parallel.axes import AXES
from flexlam_jax.parallel.sharding import path_name, tree_shardings, with_shardings
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.program import train_program

FOLDER = Path(__file__).with_name("goldens")
PRESETS = (
    "debug",
    "doom",
    "doom_suite",
    "vit256",
    "base",
    "large",
    "xl",
    "behaviour_cloning",
    "lam_finetune",
    "plant",
    "token_policy",
    "baku",
    "hilam",
    "tokenizer",
    "dynamics",
)
MESHES = (
    dict(data=8),
    dict(fsdp=8),
    dict(data=2, fsdp=4),
    dict(fsdp=4, model=2),
    dict(slice=2, data=2, fsdp=16, model=4),
    dict(fsdp=256),
)


def states(preset):
    """The state of a preset on each of MESHES, as ShapeDtypeStructs with their shardings."""
    config = importlib.import_module(f"experiments.configs.{preset}").get_config()
    objective, batch = on_paper(config)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    first, *others = (
        jax.sharding.AbstractMesh(tuple(sizes.get(axis, 1) for axis in AXES), AXES)
        for sizes in MESHES
    )
    state = train_program(objective, optimizer, schedule, config, first, batch).abstract
    return [state] + [
        with_shardings(state, tree_shardings(state, mesh, fsdp_min_size=config.mesh.fsdp_min_size))
        for mesh in others
    ]


def text(preset):
    """One block per parameter: path, shape, dtype; then a line per mesh."""
    trees = [jax.tree_util.tree_leaves_with_path(state.params) for state in states(preset)]
    lines = []
    for leaves in zip(*trees, strict=True):
        path, leaf = leaves[0]
        lines.append(f"{path_name(path)} {'x'.join(map(str, leaf.shape))} {leaf.dtype}")
        for sizes, (_, leaf) in zip(MESHES, leaves, strict=True):
            mesh = " ".join(f"{axis} {size}" for axis, size in sizes.items())
            lines.append(f"    {mesh:<32}{spec_text(leaf)}")
    return "\n".join(lines) + "\n"


def spec_text(leaf):
    axes = [axis or "-" for axis in leaf.sharding.spec]
    return f"({', '.join(axes)})" if any(axis != "-" for axis in axes) else "whole"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PRESETS:
        (FOLDER / f"{name}.txt").write_text(text(name))
