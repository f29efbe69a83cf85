"""Translators: what turns latent actions into a robot's or a game's own actions.

    translator = flexlam_jax.load(path)
    action = translator(lam.encode(o_t, o_next, keep=4))

`checkpoints.write.save_model` writes them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.params import has_checkpoint, restore_params, saved_config
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading import early_translator
from flexlam_jax.loading.buckets import Array, in_buckets
from flexlam_jax.models.translator import Translator, prefix_features
from flexlam_jax.typed_json import as_type

_AGAIN = "restore it, or make the translator again with experiments.align_translator"


@dataclasses.dataclass(frozen=True)
class TranslatorConfig:
    """Everything about a translator but its weights.

    Attributes:
      discrete: classes, or a vector.       outputs: number of classes or dimensions.
      hidden: see `models.translator`.      slots, slot_width: of the codes it reads.
      action_names: names of the outputs.   budgets: prefix lengths it was fitted on.
      lam: which model made the codes: {"checkpoint", "step", "fingerprint"}.
      data: what it was fitted on, and how well it does on validation data; for the reader.
    """

    discrete: bool
    outputs: int
    hidden: int
    slots: int
    slot_width: int
    action_names: tuple[str, ...]
    budgets: tuple[int, ...]
    lam: dict[str, Any]
    data: dict[str, Any]


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedTranslator":
    """What `experiments.align_translator` wrote; arguments and errors as `flexlam_jax.load`."""

    def abstract(values):
        config = _checked(values, path)
        features = jax.ShapeDtypeStruct((1, config.slots * config.slot_width), jnp.float32)
        return dict(jax.eval_shape(_network(config).init, jax.random.key(0), features))

    if early_translator.is_one(path):
        variables, values = early_translator.restore(path, abstract)
    else:
        variables, values, _ = restore_params(path, abstract, step)
    config = _checked(values, path)
    return LoadedTranslator(_network(config), variables, config)


def translator_config(path: Any) -> TranslatorConfig | None:
    """The config of the translator in a folder, None if there is none. Raises CheckpointError."""
    if early_translator.is_one(path):
        return _checked(early_translator.config_of(path), path)
    return _checked(saved_config(path), path) if has_checkpoint(path) else None


def _checked(values: dict[str, Any], path: Any) -> TranslatorConfig:
    where = f"the config of the translator in {path}"
    config = as_type(values, TranslatorConfig, where=where, remedy=_AGAIN, error=CheckpointError)
    if min(config.outputs, config.hidden, config.slots, config.slot_width) < 1:
        raise CheckpointError(f"{where} is damaged: it has sizes below 1; {_AGAIN}")
    return config


def _network(config: TranslatorConfig) -> Translator:
    return Translator(config.outputs, config.hidden)


class LoadedTranslator:
    """Latent actions -> actions. Made by `flexlam_jax.load`.

    Attributes:
      config: see `TranslatorConfig`.
      network, variables: for programs that hold more than the translator.
    """

    def __init__(self, translator: Translator, variables: dict, config: TranslatorConfig):
        self.config, self.network, self.variables = config, translator, variables
        self._outputs = jax.jit(lambda codes: translator.apply(variables, prefix_features(codes)))

    def __call__(self, codes: Array) -> Array:
        """Null-filled codes (B, K, D) or (K, D) -> actions: int32 (B,) or float32 (B, A).

        Raises:
          ValueError: as `outputs`.
        """
        outputs = self.outputs(codes)
        return outputs.argmax(-1).astype(np.int32) if self.config.discrete else outputs

    def outputs(self, codes: Array) -> Array:
        """Logits (B, classes), or the continuous action (B, A), float32.

        Raises:
          ValueError: the codes have another shape than those the translator was fitted on, are no
            floats, or hold NaN or infinity. Inside a caller's own `jit` values are not checked:
            there NaN comes out as NaN, and as class 0 of a discrete action.
        """
        codes = codes if isinstance(codes, jax.Array) else np.asarray(codes)
        expected = (self.config.slots, self.config.slot_width)
        if codes.ndim not in (2, 3) or codes.shape[-2:] != expected:
            raise ValueError(
                f"translator: codes have shape {codes.shape}; this one reads {expected} or "
                f"(B, {expected[0]}, {expected[1]}), the codes of {self.config.lam}"
            )
        if codes.ndim == 3 and not len(codes):
            raise ValueError(f"translator: codes are an empty batch, shape {codes.shape}")
        if not jnp.issubdtype(codes.dtype, jnp.floating):
            raise ValueError(
                f"translator: codes are {codes.dtype}; they must be float slots from encode"
            )
        codes = codes.astype(np.float32)
        xp = np if isinstance(codes, np.ndarray) else jnp
        if not isinstance(codes, jax.core.Tracer) and not bool(xp.isfinite(codes).all()):
            raise ValueError("translator: codes hold NaN or infinity")
        batched = codes.ndim == 3
        return in_buckets(self._outputs, (codes if batched else codes[None],), batched)
