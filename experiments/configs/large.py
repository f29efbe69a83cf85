"""ViT LAM with about 300M parameters, bf16, for GPU and TPU pods; 64-px video, or 224-px with the
variant.

    python -m experiments.pretrain_lam --config=experiments/configs/large.py --workdir=runs/large \
        --config.data.path=DIR
    python -m experiments.pretrain_lam --config=experiments/configs/large.py:224 ...

Variants: 224 (224-px video), debug (the same code at toy size, for a smoke run), fixed=K.
Parameters and optimizer state are split over all devices (mesh.fsdp=-1); to keep copies of them, as
for a slow network between hosts, `--config.mesh.fsdp=16 --config.mesh.data=-1`.
No run of this preset to the end has been measured yet; steps, batch and rate are starting points.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.vit_preset("large", variant, steps=300_000, batch_size=1024, learning_rate=2e-4)
    config.mesh.data, config.mesh.fsdp = 1, -1
    return config
