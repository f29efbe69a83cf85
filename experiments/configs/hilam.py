"""HiLAM: two stages of skills over the latent actions of a frozen model, for two CPU cores.

    python -m experiments.extract_latents --checkpoint=runs/lam --data=data/doom_suite \
        --splits=train,validation --out=latents
    python -m experiments.train --config=experiments/configs/hilam.py --workdir=runs/skills \
        --config.data.path=data/doom_suite --config.data.sidecars.slots=latents

Variants: debug (a smoke run). The sections `codes`, `latents` and `lam` are filled in from the
sidecars. Outer stages learn faster with, for instance,
--config.optimizer.groups="{'main': {'pattern': 'nest/inner/inner/', 'learning_rate': 0.3}}".

No run of this preset to the end has been measured yet. Sizes, targets, batch and rate are ours:
those of the HiLAM paper are not public.
"""

from experiments.configs import common
from experiments.configs.keys import HiLamConfig


def get_config(variant=""):
    config = common.section_config(HiLamConfig)
    config.data.column_chunk = 64
    config.total_steps, config.batch_size = 2000, 64
    config.checkpoint.every = config.eval.every = 500
    config.eval.batches = 16
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    config.data.column_chunk = 16
    config.model.widths = (16, 16, 16)
    config.model.heads = 2
    common.shorten(config, steps=20, batch_size=16)
