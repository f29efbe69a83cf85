"""The smallest model that uses every part: a ViT encoder and decoder on synthetic frames.

    python -m data_pipelines.prepare synthetic --out=data/synthetic
    python -m experiments.pretrain_lam --config=experiments/configs/debug.py --workdir=runs/debug \
        --config.data.path=data/synthetic

Variants: fixed=K.

Half a minute of one CPU core, jax 0.10.2, most of it compilation. In 40 steps nothing is learned:
expect a validation PSNR near 25 dB where copying has 41.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.base("debug")
    common.shorten(config, steps=40, batch_size=16)
    return common.apply_variants(config, variant, {})
