"""A small float32 ViT LAM for comparing code bases on a CPU: 64 px, patch 16, width 256, 4+4
blocks.

    python -m experiments.benchmark --config=experiments/configs/vit256.py --what=train

The size is that of the public LAM that this package's speed is compared with; see docs/PERF.md.
"""

from experiments.configs import common


def get_config(variant=""):
    config = common.base("base")
    for part in (config.model.encoder, config.model.decoder):
        part.patch, part.width, part.heads, part.mlp_hidden = 16, 256, 8, 1024
        part.qk_norm = False  # For half precision and large widths; costs a tenth of a step.
    config.model.encoder.frame_blocks, config.model.encoder.pair_blocks = 3, 1
    config.model.encoder.motion_tokens = False
    config.model.decoder.blocks, config.model.decoder.conditioning = 4, "add"
    config.model.residual = (
        False  # In a few hundred steps it learns more without; see docs/PERF.md.
    )
    config.model.dtype, config.model.remat = "float32", "none"
    config.model.unroll = True  # A scan over four layers costs a CPU a quarter of its speed.
    config.model.slots, config.model.quantizer.levels = 4, (5, 5, 5)
    config.batch_size, config.data.clip_length = 8, 16
    return common.apply_variants(config, variant, {})
