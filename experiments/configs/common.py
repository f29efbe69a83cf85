"""What the presets share. A preset is a Python file with `get_config(variant="")`; see doom.py.

    --config=experiments/configs/doom.py                   the preset
    --config=experiments/configs/doom.py:debug             its smoke version, under a minute on a laptop
    --config=experiments/configs/doom.py:debug,fixed=4     variants combine
    --config.optimizer.learning_rate=1e-4                  any single value, after --config

Not a preset itself.
"""

from ml_collections import ConfigDict, FieldReference

from flexlam_jax.models.lam import resolve_config
from flexlam_jax.models.presets import model_preset


def base(preset: str, image_size: int = 64) -> ConfigDict:
    """Every key that a run reads; presets change values, never add keys."""
    config = ConfigDict()
    config.seed = 0
    config.total_steps = 1000
    config.batch_size = 64  # Clips per update, over all devices.

    config.data = ConfigDict(
        dict(
            path="",  # The folder that data_pipelines.prepare wrote.
            datasets=(),  # Names in it, {name: weight}, or () for all.
            split="train",
            clip_length=2,  # Frames per clip; a clip of T frames holds T - 1 transitions.
            # Frame distance of a transition, or (lo, hi) drawn per clip; "0.5s" are seconds.
            gap=FieldReference(1, field_type=object),
            fields=(),  # Labels to load: none of them in pretraining.
            image_size=image_size,
            resize=False,  # Bring frames of another size to image_size, or refuse them.
            cameras=(),  # Only datasets of these cameras; () for all.
            mixture=ConfigDict(),  # {name: {path, weight, gap, ...}} instead of path; presets only.
            pairs_per_clip=1,  # Neighbouring windows drawn together: cheaper to read.
            threads=2,
            prefetch=8,
            workers=0,
        )
    )

    # Per clip, on the device, in training only; these values change nothing.
    config.augmentation = ConfigDict(
        dict(
            crop_scale=(1.0, 1.0),
            crop_aspect=(1.0, 1.0),  # Resized crop: share of area; width/height.
            shift=0,  # Pixels.
            brightness=0.0,
            contrast=0.0,
            saturation=0.0,
            hue=0.0,
        )
    )

    config.model = ConfigDict(resolve_config(model_preset(preset, image_size=image_size)))
    config.loss = ConfigDict(dict(pixel="mse", multiscale=0.0))

    config.optimizer = ConfigDict(
        dict(
            learning_rate=1e-3,
            schedule="cosine",
            warmup_steps=100,
            decay_fraction=0.2,
            weight_decay=1e-4,
            clip_norm=1.0,
            b1=0.9,
            b2=0.98,
            accumulate=1,  # Micro-batches per update.
            ema_decay=0.0,
        )
    )  # 0 keeps no average of the parameters.

    config.mesh = ConfigDict(
        dict(
            data=-1,
            fsdp=1,
            model=1,  # Devices per axis; -1: those that are left.
            slice=-1,  # Replicas over the slow network; -1: the TPU slices there are.
            fsdp_min_size=2**16,
        )
    )  # Smaller parameters are replicated over fsdp.
    config.checkpoint = ConfigDict(
        dict(
            every=1000,  # Updates that a kill may cost; a run saves twice as often.
            keep=3,
        )
    )  # Steps that stay: the newest, and multiples of `every` before.
    config.log = ConfigDict(dict(every=50, tensorboard=True, wandb=""))  # wandb: project name.
    config.eval = ConfigDict(dict(every=500, batches=8))
    config.profile = ConfigDict(dict(start=0, steps=0))  # Trace this window of steps.
    config.peak_tflops = 0.0  # Per device, for MFU; 0 measures a matmul at the start.
    config.watchdog_seconds = (
        900.0  # A step that takes longer ends the run (exit code 76); 0: never.
    )
    config.compilation_cache = ""  # Folder of compiled programs; "": in the work directory.
    return config


def apply_variants(config: ConfigDict, variant: str, variants: dict) -> ConfigDict:
    """Applies "name" and "name=value" items, separated by commas.

    Args:
      config: changed in place and returned.
      variant: the text after the colon of --config.
      variants: name -> function(config, value or None). `fixed=k` is known to every preset: the
        Fixed-K baseline, the same model with a constant number of kept slots.

    Raises:
      ValueError: unknown variant (the message lists those that exist).
    """
    known = {"fixed": _fixed, **variants}
    for item in filter(None, variant.split(",")):
        name, _, value = item.partition("=")
        if name not in known:
            raise ValueError(f"unknown variant {name!r}; this preset has {sorted(known)}")
        known[name](config, value)
    return config


def _fixed(config: ConfigDict, value: str) -> None:
    if not value.isdigit():
        raise ValueError(f"variant fixed={value}: give the number of slots, as in fixed=4")
    config.model.keep = ConfigDict(dict(kind="fixed", count=int(value)))


def shorten(config: ConfigDict, steps: int, batch_size: int) -> None:
    """A smoke run: every part works, nothing is learned."""
    config.total_steps, config.batch_size = steps, batch_size
    config.optimizer.warmup_steps = steps // 10
    config.checkpoint.every = config.eval.every = steps // 2
    config.log.every = max(1, steps // 10)
    config.eval.batches = 2


def vit_preset(
    name: str, variant: str, *, steps: int, batch_size: int, learning_rate: float
) -> ConfigDict:
    """What the large presets share; variants 224 and debug beside those of every preset."""
    config = base(name, image_size=224 if "224" in variant.split(",") else 64)
    config.total_steps, config.batch_size = steps, batch_size
    config.data.clip_length = 8
    config.data.threads, config.data.prefetch = 16, 4
    config.optimizer.learning_rate = learning_rate
    config.optimizer.schedule = "wsd"
    config.optimizer.warmup_steps = 2_000
    config.optimizer.weight_decay = 0.05
    config.checkpoint.every = config.eval.every = 2_000
    return apply_variants(config, variant, {"224": lambda *_: None, "debug": _debug_vit})


def _debug_vit(config: ConfigDict, _) -> None:
    """Toy width and depth; every switch (dtype, remat, motion tokens, patch) stays as it is."""
    for part in (config.model.encoder, config.model.decoder):
        part.width, part.heads, part.mlp_hidden = 64, 2, 128
    config.model.encoder.frame_blocks = config.model.encoder.pair_blocks = 2
    config.model.decoder.blocks = 2
    shorten(config, steps=10, batch_size=8)
