"""The smallest tokenizer that has a codebook to lose, for the synthetic data that tiny.py is for.

    python -m experiments.train --config=tests/experiments/tiny_tokenizer.py --workdir=DIR \\
        --config.data.path=DATA
"""

from experiments.configs import common
from experiments.configs.keys import TokenizerConfig
from flexlam_jax.config.settings import defaults
from flexlam_jax.models.tokenizer import TokenizerSettings
from tests.models.tiny_tokenizers import LIGHT


def get_config(path=""):
    config = common.section_config(TokenizerConfig)
    model = {**defaults(TokenizerSettings), **LIGHT, "quantizer": {"kind": "vq", "codes": 8}}
    config.model = common.section_config(TokenizerSettings, model)
    config.data.path, config.data.clip_length = path, 3
    config.data.threads, config.data.prefetch = 1, 2
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config
