"""The smallest LAM, for two steps on 16-px video of one scenario."""

from experiments.configs import common
from flexlam_jax.models.lam import LamSettings, resolve_config
from tests.experiments import tiny


def get_config(variant=""):
    config = common.base("doom")
    config.model = common.section_config(LamSettings, resolve_config(tiny.get_config().model))
    common.shorten(config, steps=2, batch_size=8)
    config.optimizer.warmup_steps = config.log.every = 1
    config.checkpoint.every, config.eval.batches = 2, 0
    return common.apply_variants(config, variant, {})
