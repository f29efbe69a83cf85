"""The smallest policy, for the synthetic data that tiny.py is for.

    python -m experiments.train --config=tests/experiments/tiny_cloning.py --workdir=DIR \\
        --config.data.path=DATA
"""

from experiments.configs import common
from experiments.configs.keys import BehaviourCloningConfig


def get_config(path=""):
    config = common.section_config(BehaviourCloningConfig)
    config.data.path, config.data.clip_length = path, 3
    config.data.threads, config.data.prefetch = 1, 2
    config.model.image_size, config.model.hidden = 16, 16
    config.model.trunk.update(stack=1, patch=4, channels=8, coarse=8, width=16)
    config.model.action_names = ("stay", "left", "right", "up", "down")
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config
