"""Translators on disk: what turns latent actions into a robot's or a game's own actions.

    translator = flexlam_jax.load_translator(path)
    action = translator(lam.encode(o_t, o_next, keep=4))

A folder holds config.json and params/ (Orbax).
"""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from flexlam_jax.batching import in_buckets
from flexlam_jax.errors import CheckpointError
from flexlam_jax.models.translator import Translator, prefix_features

KIND = "translator"


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


def save_translator(path: Any, variables: dict, config: TranslatorConfig) -> None:
    """Writes a folder that `load_translator` reads; config.json, written last, completes it."""
    import orbax.checkpoint as ocp

    path = epath.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(
            _absolute(path) / "params", jax.tree.map(np.asarray, variables), force=True
        )
    text = json.dumps({"kind": KIND, **dataclasses.asdict(config)}, indent=2)
    partial = path / "config.json.tmp"
    partial.write_text(text + "\n")
    partial.replace(path / "config.json")


def read_config(path: Any) -> TranslatorConfig | None:
    """The config of the translator in a folder; None if there is none.

    Raises:
      CheckpointError: something else lies there.
    """
    file = epath.Path(path) / "config.json"
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text())
        if values.pop("kind", None) != KIND:
            raise CheckpointError(
                f"{path} holds no translator (config.json does not say so); "
                "for a latent action model use flexlam_jax.load"
            )
        values |= {name: tuple(values[name]) for name in ("action_names", "budgets")}
        return TranslatorConfig(**values)
    except (TypeError, KeyError, json.JSONDecodeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} is damaged ({error}); make the translator again with "
            "experiments.align_translator"
        ) from error


def load_translator(path: Any) -> "LoadedTranslator":
    """Loads what `experiments.align_translator` wrote.

    Raises:
      CheckpointError (a ValueError): nothing there, damaged, or not a translator.
    """
    import orbax.checkpoint as ocp

    config = read_config(path)
    if config is None:
        raise CheckpointError(
            f"no translator in {path}: config.json is missing; make one with "
            "python -m experiments.align_translator"
        )
    translator = Translator(config.outputs, config.hidden)
    features = jax.ShapeDtypeStruct((1, config.slots * config.slot_width), jnp.float32)
    abstract = dict(jax.eval_shape(translator.init, jax.random.key(0), features))
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            variables = checkpointer.restore(_absolute(epath.Path(path)) / "params", abstract)
    except Exception as error:  # Orbax raises whatever a damaged file makes its readers raise
        reason = str(error).strip().splitlines()[:1]
        raise CheckpointError(
            f"the translator in {path} cannot be read ({type(error).__name__}: "
            f"{' '.join(reason)[:200]}); make it again"
        ) from error
    return LoadedTranslator(translator, variables, config)


class LoadedTranslator:
    """Latent actions -> actions. Made by `load_translator`.

    Attributes:
      config: see `TranslatorConfig`.
    """

    def __init__(self, translator: Translator, variables: dict, config: TranslatorConfig):
        self.config = config
        self._outputs = jax.jit(lambda codes: translator.apply(variables, prefix_features(codes)))

    def __call__(self, codes):
        """Null-filled codes (B, K, D) or (K, D) -> actions: int32 (B,) or float32 (B, A)."""
        outputs = self.outputs(codes)
        return outputs.argmax(-1).astype(np.int32) if self.config.discrete else outputs

    def outputs(self, codes):
        """Logits (B, classes), or the continuous action (B, A), float32.

        Raises:
          ValueError: the codes have another shape than those the translator was fitted on.
        """
        codes = codes if isinstance(codes, jax.Array) else np.asarray(codes)
        expected = (self.config.slots, self.config.slot_width)
        if codes.ndim not in (2, 3) or codes.shape[-2:] != expected:
            raise ValueError(
                f"translator: codes have shape {codes.shape}; this one reads {expected} or "
                f"(B, {expected[0]}, {expected[1]}), the codes of {self.config.lam}"
            )
        batched = codes.ndim == 3
        return in_buckets(self._outputs, (codes if batched else codes[None],), batched)


def _absolute(path: epath.Path) -> epath.Path:
    return path if "://" in str(path) else path.resolve()
