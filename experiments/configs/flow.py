"""Real video: 64 slots, and a decoder that draws the next frame by a rectified flow, 64 px.

    python -m experiments.pretrain_lam --config=experiments/configs/flow.py --workdir=runs/flow \
        --config.data.path=data/video

Variants: regression (the same decoder gives the mean of what may come, in one step), debug (a smoke
run), sd35 (2.2B parameters: the decoder is Stable Diffusion 3.5 medium in its autoencoder's latents,
224-px video, 256 slots, for pods), from=DIR (with sd35: starts from what experiments.import_pretrained
wrote there), fixed=K.

No run to the end has been measured, here or at the size of sd35; steps, batch and rate are starting
points. docs/real_video/training.md says what each part does.
"""

from ml_collections import ConfigDict

from experiments.configs import common
from flexlam_jax.models.mmdit import VARIANTS

# All of the transformer but what reads text.
FROM_PRETRAINED = (
    "patch_embed",
    "time_embed",
    "dual",
    "joint",
    "last",
    "final_modulation",
    "unembed",
)


def get_config(variant=""):
    config = common.base("flow")
    config.total_steps, config.batch_size = 1000, 32
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 100
    config.checkpoint.every = config.eval.every = 250
    variants = {"debug": _debug, "regression": _regression, "sd35": _sd35, "from": _from}
    return common.apply_variants(config, variant, variants)


def _regression(config, _):
    decoder = config.model.decoder
    decoder.noise, decoder.steps, decoder.guidance = False, 1, 1.0
    config.model.keep.none = 0.0


def _sd35(config, _):
    model, sizes = config.model, VARIANTS["sd35_medium"]
    model.image_size, model.slots = 224, 256
    model.dtype, model.remat = "bfloat16", "full"
    model.residual = False  # The published model draws pictures, not how they differ.
    model.encoder.update(patch=14, width=1024, heads=16, mlp_hidden=4096)
    model.encoder.update(frame_blocks=6, pair_blocks=6)
    decoder = ConfigDict(dict(kind="flow", **sizes))
    decoder.update(heads=sizes["width"] // 64, mlp_hidden=4 * sizes["width"], patch=2, shift=3.0)
    decoder.latents = ConfigDict(dict(kind="kl"))
    model.decoder = decoder
    config.batch_size, config.total_steps = 1024, 200_000
    config.optimizer.learning_rate, config.optimizer.schedule = 5e-5, "wsd"
    config.optimizer.warmup_steps = 2_000
    config.checkpoint.every = config.eval.every = 2_000
    config.data.threads, config.data.prefetch = 16, 4
    config.mesh.data, config.mesh.fsdp = 1, -1


def _from(config, folder):
    config.init_from = {
        "autoencoder": {"path": f"{folder}/autoencoder", "to": "decoder/latents"},
        **{
            part: {"path": f"{folder}/transformer", "take": part, "to": f"decoder/velocity/{part}"}
            for part in FROM_PRETRAINED
        },
    }
    config.frozen = ("decoder/latents",)


def _debug(config, _):
    common.shorten(config, steps=20, batch_size=8)
    config.model.slots = 8
    config.model.encoder.update(width=32, heads=2, mlp_hidden=64, frame_blocks=1, pair_blocks=1)
    config.model.decoder.update(width=32, heads=2, mlp_hidden=64, layers=2)
