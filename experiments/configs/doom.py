"""The quick start: a light motion LAM on ViZDoom, 64 px, for two CPU cores.

    python -m data_pipelines.prepare doom --out=data/doom
    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/doom \
        --config.data.path=data/doom

Variants: debug (a smoke run), fixed=K (the Fixed-K baseline).

On 2 CPU cores, jax 0.10.2, this run beside two of Fixed-K took 5.2 minutes. Expect a validation PSNR
near 25.7 dB, copying 21.8; numbers per k are in the README.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.base("doom")
    config.total_steps = 1100
    config.optimizer.learning_rate = 2e-3  # Ahead of half of it at every k: docs/results.
    config.data.datasets = ("health_gathering_sticky",)
    config.loss.gain = True  # For keep="auto".
    config.checkpoint.every = config.eval.every = 275
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=32)
