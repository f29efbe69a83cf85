"""The latent-token policy, one for six ViZDoom tasks: trained on video and frozen codes, without
actions. 64 px, for two CPU cores.

    python -m data_pipelines.prepare doom_suite --out=data/doom_suite
    python -m experiments.extract_latents --checkpoint=runs/lam --data=data/doom_suite \
        --splits=train,validation --out=latents
    python -m experiments.train --config=experiments/configs/token_policy.py --workdir=runs/policy \
        --config.data.path=data/doom_suite --config.data.sidecars.ids=latents \
        --config.lam.checkpoint=runs/lam

Variants: long (6,000 steps), debug (a smoke run). Continuous slots are read by
--config.data.sidecars.slots=latents. The sections `codes` and `lam` are filled in from the sidecars.

Five minutes on two cores that others used too, jax 0.10.2, for codes of doom_suite.py. Expect 2.94
nats per slot on the validation split, where each code's share alone gives 4.52; what is earned with
it is in docs/latent_policy.md.
"""

from experiments.configs import common
from experiments.configs.doom_suite import TASKS
from experiments.configs.keys import TokenPolicyConfig


def get_config(variant=""):
    config = common.section_config(TokenPolicyConfig)
    config.data.datasets = tuple(f"{task}_noisy" for task in TASKS)
    config.total_steps, config.batch_size = 2500, 128
    config.checkpoint.every = config.eval.every = 500
    config.eval.batches = 16
    return common.apply_variants(config, variant, {"long": _long, "debug": _debug})


def _long(config, _):
    config.total_steps = 6000


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=16)
