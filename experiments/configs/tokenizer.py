"""The video tokenizer of a world: ViZDoom at 64 px as 8 x 8 tokens of 1000 codes, for two CPU cores.

    python -m data_pipelines.prepare doom --out=data/doom
    python -m experiments.train --config=experiments/configs/tokenizer.py --workdir=runs/tokenizer \
        --config.data.path=data/doom

Variants: st (spatio-temporal, with the sizes of Genie's case study on CoinRun, arXiv 2402.15391:
16 x 16 tokens of 1024 codes in clips of 16 frames, for accelerators), debug (a smoke run).

The light one reaches 27.8 dB on held-out frames; docs/world/tokenizer.md says what it does.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from experiments.configs.keys import TokenizerConfig
from flexlam_jax.config.settings import defaults
from flexlam_jax.models.tokenizer import TokenizerSettings

_LIGHT = {
    "encoder": {"kind": "light", "patch": 8, "cell": 4, "channels": 48, "coarse": 96, "blocks": 1},
    "quantizer": {"kind": "fsq", "levels": (8, 5, 5, 5)},
    "decoder": {"kind": "light", "patch": 8, "cell": 4, "channels": 48, "coarse": 96, "blocks": 2},
}
_HALF = {
    "kind": "spacetime",
    "patch": 4,
    "width": 512,
    "blocks": 8,
    "window": 16,
    "heads": 8,
    "mlp_hidden": 2048,
    "qk_norm": True,
}


def get_config(variant=""):
    config = common.section_config(TokenizerConfig)
    model = {**defaults(TokenizerSettings), **_LIGHT}
    config.model = common.section_config(TokenizerSettings, model)
    config.data.datasets = ("health_gathering_sticky",)
    config.data.gap = 8  # Frames are read one by one, and neighbours tell little that is new.
    config.total_steps = 1000
    config.checkpoint.every = config.eval.every = 250
    return common.apply_variants(config, variant, {"st": _st, "debug": _debug})


def _st(config, _):
    config.model.encoder, config.model.decoder = ConfigDict(_HALF), ConfigDict(_HALF)
    config.model.quantizer = ConfigDict({"kind": "vq", "codes": 1024, "width": 32})
    config.model.update(dtype="bfloat16", remat="mlp")
    config.data.update(gap=1, clip_length=16, threads=16, prefetch=4)
    config.total_steps, config.batch_size = 300_000, 48
    config.optimizer.update(
        learning_rate=3e-4, schedule="constant", warmup_steps=10_000, b1=0.9, b2=0.9
    )
    config.checkpoint.every = config.eval.every = 2_000


def _debug(config, _):
    for half in (config.model.encoder, config.model.decoder):
        if half.kind == "spacetime":
            half.update(width=32, blocks=2, heads=2, mlp_hidden=64)
    common.shorten(config, steps=20, batch_size=8)
