"""Fits the head behind keep="auto" to a LAM that was trained without it, and leaves the LAM as it is.

    python -m experiments.pretrain_lam --config=docs/examples/gain_head.py:runs/doom \
        --workdir=runs/doom_auto

The variant is the LAM's work directory. Its data, batch and learning rate are taken over; the rest of
its parameters is frozen, so that codes and fingerprint stay what they are, and a step needs no
backward pass through the model. The new checkpoint refers to the old one (docs/warm_start.md).
"""

import json
from pathlib import Path

from ml_collections import ConfigDict

from experiments.configs import common
from experiments.configs.keys import LamConfig
from flexlam_jax.errors import ConfigError

PARTS = ("encoder", "decoder", "null")  # All parameters of a LAM.


def get_config(variant=""):
    file = Path(variant, "config.json")
    if not file.is_file():
        raise ConfigError(
            f"there is no {file}: give the work directory of a LAM after a colon, as in "
            "gain_head.py:runs/doom"
        )
    saved = json.loads(file.read_text())
    if saved["model"]["quantizer"]["kind"] == "vq":
        raise ConfigError(
            f"{variant}: a codebook of kind vq would move while the head is fitted; train the LAM "
            "with --config.loss.gain=True instead"
        )
    config = common.section_config(LamConfig)
    config.update({**saved, "model": ConfigDict(saved["model"])})
    config.loss.gain = True
    config.init_from = {
        name: {"path": variant, "take": name, "to": name, "step": None} for name in PARTS
    }
    config.frozen = PARTS
    config.optimizer.groups = {}
    config.total_steps = 600
    config.optimizer.warmup_steps = 50
    return config
