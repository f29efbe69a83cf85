"""The smallest skills, and random latent actions for the synthetic data that tiny.py is for."""

from pathlib import Path

import numpy as np

from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from experiments.configs import common
from experiments.configs.keys import HiLamConfig

SLOTS, WIDTH = 3, 2


def get_config(path=""):
    config = common.section_config(HiLamConfig)
    config.data.path = path
    config.data.threads, config.data.prefetch = 1, 2
    config.data.column_chunk = 2
    config.model.update(keep=2, targets=(3.0, 2.0), widths=(8, 8, 12), heads=2, mlp_ratio=2)
    config.model.main_layers = 1
    config.codes.update(slots=SLOTS, codebook_size=0, slot_width=WIDTH)
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config


def with_latents(config, folder, column="slots", **made_by):
    """The config with random slots beside its data, which are written to a folder."""
    made_by = {
        "model": "f" * 64,
        "step": 3,
        "slots": SLOTS,
        "codebook_size": None,
        "slot_width": WIDTH,
    } | made_by
    info = open_dataset(config.data.path)
    for name, splits in info.shards.items():
        for split in splits:
            rows = split_episodes(info, name, split).offsets("transition", 1)[-1]
            slots = np.random.default_rng(0).normal(3.0, 0.5, (rows, SLOTS, WIDTH))
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"slots": slots.astype(np.float32)},
                kind="latents",
                alignment="transition",
                gap=1,
                made_by=made_by,
            )
    config.data.sidecars = {column: str(Path(folder))}
    return config
