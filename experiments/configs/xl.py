"""ViT LAM with about 1B parameters, bf16, for GPU and TPU pods; 64-px video, or 224-px with the
variant.

    python -m experiments.pretrain_lam --config=experiments/configs/xl.py --workdir=runs/xl \
        --config.data.path=DIR
    python -m experiments.pretrain_lam --config=experiments/configs/xl.py:224 ...

Variants: 224 (224-px video), debug (the same code at toy size, for a smoke run), fixed=K.
Parameters and optimizer state are split over all devices (mesh.fsdp=-1): on a v5e-256 or v5p-64 the
224-px variant then fits with room to spare; docs/pod_plans.md has the numbers.
No run of this preset to the end has been measured yet; steps, batch and rate are starting points.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.vit_preset("xl", variant, steps=400_000, batch_size=2048, learning_rate=1e-4)
    config.mesh.data, config.mesh.fsdp = 1, -1
    return config
