"""BAKU, the flat policy: actions from two cameras, states and a sentence; for demonstrations of LIBERO.

    python -m data_pipelines.prepare libero --source=DEMOS --out=data/libero --size=128
    python -m experiments.train --config=experiments/configs/baku.py --workdir=runs/baku \
        --config.data.path=data/libero

Variants: light (64 px, few channels, for CPUs: prepare with --size=64), ogbench (light, for one or
two tasks of OGBench's scene), ogbench_tasks (wider, for a few), libero (light, for a few tasks of
LIBERO), high (after another one: the few steps of a high level), debug (a smoke run), and the heads
gmm and flow. The levels of a hierarchy are this preset with other inputs and targets:

    --config.predicts.columns="('skill',)" --config.data.sidecars.skill=skills      high level
    --config.reads.skill=skill --config.data.sidecars.skill=skills \
        --config.model.text.kind=none                                               low level

Sizes, batch and rate are those published; no run of this preset to the end has been measured yet.
ogbench and high were measured in docs/results/hilam.md, ogbench_tasks in
docs/results/hilam_ensembling.md, libero in docs/data/libero.md.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from experiments.configs.keys import PolicyConfig


def get_config(variant=""):
    config = common.section_config(PolicyConfig)
    config.model.encoder = ConfigDict(dict(kind="film_resnet", channels=64, points=256))
    config.model.update(image_size=128, width=256, layers=8, mlp_hidden=1024)
    config.reads.cameras = ("agentview", "eye_in_hand")
    config.reads.proprio = True
    config.total_steps, config.batch_size = 100_000, 64
    config.optimizer.update(learning_rate=1e-4, weight_decay=1e-4, schedule="constant")
    config.checkpoint.every = config.eval.every = 2_000
    config.eval.batches = 16
    heads = {"gmm": _head("gmm"), "flow": _head("flow")}
    kinds = {"light": _light, "ogbench": _ogbench, "ogbench_tasks": _ogbench_tasks}
    kinds |= {"libero": _libero, "high": _high, "debug": _debug}
    return common.apply_variants(config, variant, kinds | heads)


def _light(config, _):
    config.model.encoder = ConfigDict(dict(kind="light"))
    config.model.update(image_size=64, width=128, layers=4, mlp_hidden=512)
    config.total_steps = 10_000
    config.optimizer.update(learning_rate=1e-3, schedule="cosine")


def _ogbench(config, _):
    _light(config, None)
    config.model.encoder.update(channels=16, blocks=1)
    config.model.update(width=64, layers=2, mlp_hidden=256)
    config.reads.cameras = ("front_pixels",)
    config.total_steps = 1_500
    config.checkpoint.every = config.eval.every = 500


def _ogbench_tasks(config, _):
    _ogbench(config, None)
    config.model.encoder.channels = 24
    config.model.update(width=128, layers=3, mlp_hidden=512)
    config.total_steps = 3_000
    config.checkpoint.every = config.eval.every = 500


def _libero(config, _):
    _light(config, None)
    config.model.encoder.update(channels=24, blocks=1)
    config.model.layers = 3
    config.total_steps = 3_000


def _high(config, _):
    # An episode has a few skills alone: more steps learn them by heart.
    config.total_steps = 600
    config.checkpoint.every = config.eval.every = 200


def _debug(config, _):
    _light(config, None)
    config.model.encoder.update(channels=16, blocks=1)
    config.model.update(width=32, layers=1, mlp_hidden=64)
    common.shorten(config, steps=40, batch_size=8)


def _head(kind):
    def choose(config, _):
        config.model.head = ConfigDict(dict(kind=kind))

    return choose
