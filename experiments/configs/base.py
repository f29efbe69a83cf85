"""ViT LAM with about 60M parameters, bf16, for GPU and TPU pods; 64-px video, or 224-px with the variant.

    python -m experiments.pretrain_lam --config=experiments/configs/base.py --workdir=runs/base \
        --config.data.path=DIR [--config.mesh.fsdp=8]
    python -m experiments.pretrain_lam --config=experiments/configs/base.py:224 ...

Variants: 224 (224-px video), debug (the same code at toy size, for a smoke run), fixed=K.
No run of this preset to the end has been measured yet; steps, batch and rate are starting points.
"""

from experiments.configs import common


def get_config(variant=""):
    size = 224 if "224" in variant.split(",") else 64
    config = common.base("base", image_size=size)
    config.total_steps, config.batch_size = 200_000, 512
    config.data.clip_length = 8
    config.data.threads, config.data.prefetch = 16, 4
    config.optimizer.learning_rate = 3e-4
    config.optimizer.schedule = "wsd"
    config.optimizer.warmup_steps = 2_000
    config.optimizer.weight_decay = 0.05
    config.checkpoint.every = config.eval.every = 2_000
    return common.apply_variants(config, variant, {"224": lambda *_: None, "debug": _debug})


def _debug(config, _):
    common.shrink_vit(config.model)
    common.shorten(config, steps=10, batch_size=8)
