"""The smallest latent-token policy, and random codes for the synthetic data that tiny.py is for."""

from pathlib import Path

import numpy as np

from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from experiments.configs import common
from experiments.configs.keys import TokenPolicyConfig

SLOTS, CODES = 3, 5


def get_config(path=""):
    config = common.section_config(TokenPolicyConfig)
    config.data.path = path
    config.data.threads, config.data.prefetch = 1, 2
    config.model.update(image_size=16, context=2, width=16, heads=2, mlp_hidden=32)
    config.model.trunk.update(stack=2, patch=4, channels=8, coarse=8, width=16)
    config.codes.update(slots=SLOTS, codebook_size=CODES, slot_width=2)
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config


def with_codes(config, folder, **made_by):
    """The config with random ids beside its data, which are written to a folder."""
    made_by = {
        "model": "f" * 64,
        "step": 3,
        "slots": SLOTS,
        "codebook_size": CODES,
        "slot_width": 2,
    } | made_by
    info = open_dataset(config.data.path)
    for name, splits in info.shards.items():
        for split in splits:
            rows = split_episodes(info, name, split).offsets("transition", 1)[-1]
            ids = np.random.default_rng(0).integers(0, CODES, (rows, SLOTS), np.int32)
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"ids": ids},
                kind="latents",
                alignment="transition",
                gap=1,
                made_by=made_by,
            )
    config.data.sidecars = {"ids": str(Path(folder))}
    return config
