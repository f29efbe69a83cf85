"""Dynamics of a world under latent actions, at 64 px, for two CPU cores.

    python -m experiments.train --config=experiments/configs/dynamics.py --workdir=runs/dynamics \
        --config.data.path=data/doom --config.tokenizer.checkpoint=runs/tokenizer \
        --config.lam.checkpoint=runs/lam

The tokenizer and the latent action model are frozen: experiments/configs/tokenizer.py and doom.py.
The sections `tokens` and `actions` are filled in from them.

Variants, which combine: action=true (the data's actions instead of latent ones, without
config.lam.checkpoint: the row to compare with), action=none (the floor), cotrain (the latent action
model is trained along: from config.lam.checkpoint on, or without one from scratch, as that of doom.py),
undrafted (without drafts of the latent action model's decoder, as all of the former and genie are),
added (the action is added to every token), shown (the past as it is, at twice the work), causal (raster
order), genie (the sizes of the case study of arXiv 2402.15391, appendix F, for one 16-GB TPU), debug (a
smoke run).

Sizes, steps and rate of the small preset are ours; docs/results/world.md has what it reaches.
"""

from experiments.configs import common
from experiments.configs.keys import DynamicsConfig
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dynamics import ACTIONS
from flexlam_jax.models.lam import LamSettings, resolve_config
from flexlam_jax.models.presets import model_preset
from flexlam_jax.objectives.lam import LossSettings


def get_config(variant=""):
    config = common.section_config(DynamicsConfig)
    config.data.datasets = ("health_gathering_sticky",)
    config.data.clip_length = 12  # Some frames look back as far as in play: the window is 8.
    config.model.drafts = config.model.unroll = True
    config.model.enters = "token"  # Ahead of adding it to the tokens: docs/world/dynamics.md.
    config.total_steps, config.batch_size = 1000, 8
    config.checkpoint.every = config.eval.every = 250
    config.eval.batches = 8
    config.sampling.temperature = 0.5  # Ahead of 0 and of 1 in one run.
    variants = {
        "action": _action,
        "cotrain": _cotrain,
        "undrafted": _undrafted,
        "added": _added,
        "shown": _shown,
        "causal": _causal,
        "genie": _genie,
        "debug": _debug,
    }
    config = common.apply_variants(config, variant, variants)
    if config.lam.train:
        config.lam.warmup_steps = config.total_steps // 4
    return config


def _undrafted(config, _):
    config.model.drafts = False


def _cotrain(config, _):
    config.model.drafts = False
    config.lam.train = True
    config.lam.model = common.section_config(LamSettings, resolve_config(model_preset("doom")))
    config.lam.loss = common.section_config(LossSettings)


def _action(config, value):
    if value not in ACTIONS:
        raise ConfigError(f"variant action={value}: give one of {', '.join(ACTIONS)}")
    config.model.action = value
    if value != "latent":
        config.model.drafts = False


def _added(config, _):
    config.model.enters = "add"


def _shown(config, _):
    config.model.context = "shown"


def _causal(config, _):
    config.model.update(kind="causal", context="shown")


def _genie(config, _):
    config.model.update(width=512, layers=12, heads=8, mlp_hidden=2048, window=16, drafts=False)
    config.model.update(enters="add", dtype="bfloat16", remat="full", unroll=False)
    config.data.datasets = ()
    config.data.clip_length = 16
    config.data.threads, config.data.prefetch = 16, 4
    config.tokens.update(count=256, codebook_size=1024)  # Patches of 4 pixels.
    config.actions.update(slots=1, slot_width=32)
    config.total_steps, config.batch_size = 200_000, 36
    # The paper gives these for its large model; its ports take them here.
    config.optimizer.update(learning_rate=3e-5, warmup_steps=5_000, weight_decay=1e-4)
    config.optimizer.update(b1=0.9, b2=0.9)
    config.sampling.update(steps=25, temperature=1.0)
    config.checkpoint.every = config.eval.every = 2_000


def _debug(config, _):
    config.model.update(width=16, layers=1, heads=2, mlp_hidden=32)
    common.shorten(config, steps=20, batch_size=8)
