"""The smallest policy, flat or a level of a hierarchy, on demonstrations of pusher.py."""

from ml_collections import ConfigDict

from experiments.configs import common
from tests.experiments import tiny_policy


def get_config():
    config = tiny_policy.get_config()
    config.model.history, config.model.text = 1, ConfigDict(dict(kind="hashed"))
    config.reads.proprio = True
    config.predicts.columns = ()
    common.shorten(config, steps=2, batch_size=4)
    return config
