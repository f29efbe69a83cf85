"""The smallest chunk policy, of columns beside the synthetic data that tiny.py is for, or of
demonstrations in LIBERO's layout.
"""

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.registry import recipe_options
from experiments.configs import common
from experiments.configs.keys import PolicyConfig
from tests.data_pipelines.readers import robot_files

SLOTS, WIDTH = 3, 2
SENTENCES = ("open the middle drawer", "close the drawer")
CAMERAS = ("agentview", "eye_in_hand")


def get_config(path=""):
    config = common.section_config(PolicyConfig)
    config.data.path = path
    config.data.threads, config.data.prefetch = 1, 2
    config.model.encoder = ConfigDict(dict(kind="light", channels=8, blocks=1, points=4))
    config.model.text = ConfigDict(dict(kind="none"))
    config.model.update(image_size=16, chunk=3, history=2)
    config.model.update(width=16, layers=1, heads=2, mlp_hidden=32)
    config.predicts.columns, config.predicts.width = ("slots",), SLOTS * WIDTH
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config


def with_latents(config, folder, **made_by):
    """The config with random slots, one row per transition, that are written to a folder."""
    info = open_dataset(config.data.path)
    for name, splits in info.shards.items():
        for split in splits:
            rows = split_episodes(info, name, split).offsets("transition", 1)[-1]
            slots = np.random.default_rng(0).normal(size=(rows, SLOTS, WIDTH)).astype(np.float32)
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"slots": slots},
                kind="latents",
                alignment="transition",
                gap=1,
                made_by={"model": "f" * 64} | made_by,
            )
    config.data.sidecars = {"slots": str(folder)}
    return config


def demonstrations(folder):
    """A dataset folder of ten short demonstrations of two tasks, 16 px."""
    for number, sentence in enumerate(SENTENCES):
        file = folder / "raw" / "libero_goal" / f"{sentence.replace(' ', '_')}_demo.hdf5"
        robot_files.write_libero(file, demos=5, rows=8, language=sentence, seed=37 * number)
    options = recipe_options("libero", f"--source={folder / 'raw'}", "--size=16")
    assert prepare("libero", folder / "demos", options)
    return folder / "demos"


def flat(path=""):
    """The flat baseline on demonstrations."""
    config = get_config(str(path))
    config.model.history = 1
    config.model.text = ConfigDict(dict(kind="hashed", width=16))
    config.reads.update(cameras=CAMERAS, proprio=True)
    config.predicts.columns = ()
    return config
