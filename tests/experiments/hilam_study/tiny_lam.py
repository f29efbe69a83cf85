"""The smallest LAM, for two steps on demonstrations of pusher.py; variant fixed=K."""

from experiments.configs import common
from tests.experiments import tiny


def get_config(variant=""):
    config = tiny.get_config()
    config.total_steps = config.checkpoint.every = 2
    config.optimizer.warmup_steps = 1
    config.eval.batches = 0
    return common.apply_variants(config, variant, {})
