"""What the presets share. A preset is a Python file with `get_config(variant="")`; see doom.py.

    --config=experiments/configs/doom.py                   the preset
    --config=experiments/configs/doom.py:debug             its smoke version, under a minute on a laptop
    --config=experiments/configs/doom.py:debug,fixed=4     variants combine
    --config.optimizer.learning_rate=1e-4                  any single value, after --config

Not a preset itself.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference

from experiments.configs.keys import LamConfig
from flexlam_jax.config.settings import default_of, several_types
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import LamSettings, resolve_config
from flexlam_jax.models.presets import model_preset


def base(preset: str, image_size: int = 64) -> ConfigDict:
    """Every key that a run reads, with its default; presets change values, never add keys."""
    config = section_config(LamConfig)
    model = resolve_config(model_preset(preset, image_size=image_size))
    config.model = section_config(LamSettings, model)
    return config


def section_config(settings: type, values: Mapping[str, Any] | None = None) -> ConfigDict:
    """A section with `values`, by default those of its dataclass, and the types flags may give."""
    config, many = ConfigDict(), several_types(settings)
    for field in dataclasses.fields(settings):
        if values is not None:
            value = values[field.name]
        elif "section" in field.metadata:
            value = section_config(field.metadata["section"])
        else:
            value = default_of(field)
        value = ConfigDict(value) if isinstance(value, dict) else value
        if field.name in many:
            value = FieldReference(value, field_type=object)
        config[field.name] = value
    return config


def apply_variants(config: ConfigDict, variant: str, variants: dict) -> ConfigDict:
    """Applies "name" and "name=value" items, separated by commas.

    Args:
      config: changed in place and returned.
      variant: the text after the colon of --config.
      variants: name -> function(config, value or None). `fixed=k` is known to every preset: the
        Fixed-K baseline, the same model with a constant number of kept slots. So is `shift=n`:
        training pictures are moved by up to n pixels (DrQ, arXiv 2004.13649).

    Raises:
      ConfigError: unknown variant (the message lists those that exist), or a value it cannot take.
    """
    known = {"fixed": _fixed, "shift": _shift, **variants}
    for item in filter(None, variant.split(",")):
        name, _, value = item.partition("=")
        if name not in known:
            raise ConfigError(f"unknown variant {name!r}; this preset has {sorted(known)}")
        known[name](config, value)
    return config


def _fixed(config: ConfigDict, value: str) -> None:
    if not value.isdigit():
        raise ConfigError(f"variant fixed={value}: give the number of slots, as in fixed=4")
    config.model.keep = ConfigDict(dict(kind="fixed", count=int(value)))
    config.model.prefixes = 1  # They would all be the same.
    config.model.further_keep = ConfigDict(dict(kind="same"))


def _shift(config: ConfigDict, value: str) -> None:
    if not value.isdigit():
        raise ConfigError(f"variant shift={value}: give a number of pixels, as in shift=4")
    config.augmentation.shift = int(value)


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
