"""Video in many slots, for two CPU cores: 64 slots of nine codes, of which any prefix is a code, 64 px.

    python -m experiments.pretrain_lam --config=experiments/configs/video.py --workdir=runs/video \
        --config.data.path=data/video

Variants: debug (a smoke run), fixed=K (the Fixed-K baseline). flow.py draws frames instead.

On one CPU core, jax 0.10.2, 6 minutes beside other work. On the quick start's data expect a validation
PSNR near 26.2 dB, copying 21.8. docs/real_video/budgets.md has how quality rises with the budget,
beside seven Fixed-K models.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.base("video")
    config.total_steps = 1000
    config.optimizer.learning_rate = 2e-3
    config.checkpoint.every = config.eval.every = 250
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=32)
