"""A light motion LAM on demonstrations in OGBench's scene, 64 px, for two CPU cores.

    python -m data_pipelines.prepare ogbench --out=data/ogbench --cameras=front_pixels
    python -m experiments.pretrain_lam --config=experiments/configs/ogbench.py \
        --workdir=runs/ogbench --config.data.path=data/ogbench

Between neighbouring frames an arm moves by less than a pixel, so a latent action spans three. Slots
are continuous: four of nine codes say less of the actions, see docs/data/ogbench.md.

Variants: debug (a smoke run), fixed=K (the Fixed-K baseline).
"""

from ml_collections import ConfigDict

from experiments.configs import common


def get_config(variant=""):
    config = common.base("doom")
    config.total_steps = 1100
    config.optimizer.learning_rate = 2e-3
    config.model.quantizer = ConfigDict(dict(kind="gaussian", width=8, beta=1e-4))
    config.data.gap = 3
    config.checkpoint.every = config.eval.every = 275
    return common.apply_variants(config, variant, {"debug": _debug})


def _debug(config, _):
    common.shorten(config, steps=40, batch_size=32)
