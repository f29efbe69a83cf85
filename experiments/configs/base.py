"""ViT LAM with about 60M parameters, bf16, for GPU and TPU pods; 64-px video, or 224-px with the
variant.

    python -m experiments.pretrain_lam --config=experiments/configs/base.py --workdir=runs/base \
        --config.data.path=DIR [--config.mesh.fsdp=8]
    python -m experiments.pretrain_lam --config=experiments/configs/base.py:224 ...

Variants: 224 (224-px video), debug (the same code at toy size, for a smoke run), fixed=K.
No run of this preset to the end has been measured yet; steps, batch and rate are starting points.
"""

from experiments.configs import common


def get_config(variant=""):
    return common.vit_preset("base", variant, steps=200_000, batch_size=512, learning_rate=3e-4)
