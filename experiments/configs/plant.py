"""A latent action model of vectors: what was done to a plant whose controls nobody logged.

    python -m data_pipelines.prepare plant --actions=continuous --episodes=50 --out=data/plant
    python -m experiments.train --config=experiments/configs/plant.py --workdir=runs/plant \
        --config.data.path=data/plant

Columns, units and their deviations are found in the data. Any dataset with a state will do: a table
of your own (data_pipelines.prepare table), or the state of a simulator.

Variants: memory=H (the encoder reads H instants of history by a recurrent network, the decoder does
not), endogenous (the loss is of the columns that the agent controls), debug (a smoke run), fixed=K
(the Fixed-K baseline).

On 2 CPU cores, jax 0.10.2, it takes half a minute of processor time. With --config.model.keep.minimum=1,
that is without empty prefixes in the mean, expect a validation/reconstruction of 0.17 where copying has
0.89, in units of the changes' variance; docs/exogenous/vectors.md says what the slots mean.
"""

from experiments.configs import common
from experiments.configs.keys import VectorLamConfig
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import LamSettings, resolve_config

MODEL = {
    "image_size": (8, 1),  # On paper; a run finds its columns.
    "channels": 1,
    "slots": 3,
    "encoder": {"kind": "vector", "widths": (64, 64)},
    # One number a slot: the linear theory of docs/exogenous speaks of these.
    "quantizer": {"kind": "gaussian", "width": 1, "beta": 1e-3},
    "decoder": {"kind": "vector", "widths": (64, 64)},
    # Decoding no slot at all keeps what o_t tells out of slot 1: docs/exogenous/linear.md.
    "keep": {"kind": "uniform", "minimum": 0},
    "prefixes": 2,
}


def get_config(variant=""):
    config = common.section_config(VectorLamConfig)
    config.model = common.section_config(LamSettings, resolve_config(MODEL))
    # A record holds 32 transitions: reading it for one of them would cost most of the time.
    config.data.clip_length = 33
    config.total_steps, config.batch_size = 1000, 16
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 50
    config.checkpoint.every = config.eval.every = 500
    config.eval.batches = 8
    variants = {"memory": _memory, "endogenous": _endogenous, "debug": _debug}
    return common.apply_variants(config, variant, variants)


def _memory(config, value):
    if not value.isdigit() or int(value) < 2:
        raise ConfigError(f"variant memory={value}: give the instants, 2 or more, as in memory=8")
    config.vectors.history = int(value)
    config.model.encoder.memory, config.model.decoder.memory = "gru", "none"


def _endogenous(config, _):
    config.loss.mask = "exogenous_mask"


def _debug(config, _):
    config.model.encoder.widths = config.model.decoder.widths = (16,)
    common.shorten(config, steps=20, batch_size=8)
