"""Translators on disk: what turns latent actions into a robot's or a game's own actions.

    translator = flexlam_jax.load_translator(path)
    action = translator(lam.encode(o_t, o_next, keep=4))

A folder holds config.json and params/ (Orbax), each verified when it is read.
"""

import dataclasses
import json
import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import cannot_write, reachable, storage_error, write_atomically
from flexlam_jax.loading.buckets import in_buckets
from flexlam_jax.models.translator import Translator, prefix_features
from flexlam_jax.output_folder import TRANSLATOR, check_content
from flexlam_jax.typed_json import as_type, content_hash, read_json

_AGAIN = "restore it, or make the translator again with experiments.align_translator"
_log = logging.getLogger(__name__)


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


@dataclasses.dataclass(frozen=True)
class _File:
    """config.json beside the fields of the config; early versions wrote neither hash.

    fingerprint: of the weights, see `training.fingerprint`.  sha256: of all other fields.
    """

    kind: str
    fingerprint: int | None = None
    sha256: str | None = None


def save_translator(path: Any, variables: dict, config: TranslatorConfig) -> None:
    """Writes a folder that `load_translator` reads; config.json, written last, completes it.

    Raises:
      WorkdirError: the folder holds something else than a translator; nothing is changed there.
      UserError: it cannot be written to.
    """
    path = epath.Path(path)
    check_content(path, TRANSLATOR)
    variables = jax.tree.map(np.asarray, variables)
    _save(path, variables)
    values = {
        "kind": TRANSLATOR.name,
        **dataclasses.asdict(config),
        "fingerprint": _fingerprint(variables),
    }
    values["sha256"] = content_hash(values)
    write_atomically(path / "config.json", json.dumps(values, indent=2) + "\n")


def read_config(path: Any) -> TranslatorConfig | None:
    """The config of the translator in a folder; None if there is none.

    Raises:
      CheckpointError: something else lies there, or it is damaged.
    """
    found = _read(path)
    return found and found[0]


def load_translator(path: Any) -> "LoadedTranslator":
    """Loads what `experiments.align_translator` wrote.

    Raises:
      CheckpointError (a ValueError): nothing there, damaged, or not a translator.
    """
    found = _read(path)
    if found is None:
        raise CheckpointError(
            f"no translator in {path}: config.json is missing; make one with "
            "python -m experiments.align_translator"
        )
    config, file = found
    translator = Translator(config.outputs, config.hidden)
    variables = _restore(path, translator, config)
    if file.fingerprint is None:
        _log.info("%s was written by an early version: its weights cannot be verified", path)
    elif _fingerprint(variables) != file.fingerprint:
        raise CheckpointError(
            f"the weights of the translator in {path} are damaged: they do not match their "
            f"fingerprint in config.json; {_AGAIN}"
        )
    return LoadedTranslator(translator, variables, config)


def _read(path: Any) -> tuple[TranslatorConfig, _File] | None:
    """What config.json says of a translator and of itself; see `read_config`."""
    file = reachable(path, CheckpointError) / "config.json"
    if not file.exists():
        return None
    values = read_json(file, dict[str, Any], remedy=_AGAIN, error=CheckpointError)
    if values.get("kind") != TRANSLATOR.name:
        raise CheckpointError(
            f"{path} holds no translator (config.json does not say so); "
            "for a latent action model use flexlam_jax.load"
        )
    config, own = (
        as_type(values, kind, where=str(file), remedy=_AGAIN, error=CheckpointError)
        for kind in (TranslatorConfig, _File)
    )
    sizes = (config.outputs, config.hidden, config.slots, config.slot_width)
    if min(sizes) < 1 or own.sha256 not in (None, content_hash(values)):
        raise CheckpointError(
            f"{file} is damaged: its fields are not those that were written; {_AGAIN}"
        )
    return config, own


def _save(path: epath.Path, variables: dict) -> None:
    import orbax.checkpoint as ocp

    from flexlam_jax.checkpoints.quiet import quiet_libraries

    try:
        path.mkdir(parents=True, exist_ok=True)
        with quiet_libraries(), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(_absolute(path) / "params", variables, force=True)
    except Exception as error:  # Orbax raises whatever its writers raise
        if not isinstance(error, OSError) and storage_error(error) is None:
            raise
        raise cannot_write(path, error, what="a translator") from error


def _restore(path: Any, translator: Translator, config: TranslatorConfig) -> dict:
    import orbax.checkpoint as ocp

    from flexlam_jax.checkpoints.quiet import quiet_libraries

    features = jax.ShapeDtypeStruct((1, config.slots * config.slot_width), jnp.float32)
    abstract = dict(jax.eval_shape(translator.init, jax.random.key(0), features))
    try:
        with quiet_libraries(), ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(_absolute(epath.Path(path)) / "params", abstract)
    except Exception as error:  # Orbax raises whatever a damaged file makes its readers raise
        reason = str(error).strip().splitlines()[:1]
        raise CheckpointError(
            f"the translator in {path} cannot be read ({type(error).__name__}: "
            f"{' '.join(reason)[:200]}); {_AGAIN}"
        ) from error


def _fingerprint(variables: dict) -> int:
    from flexlam_jax.checkpoints.fingerprint import fingerprint

    return fingerprint(jax.tree.map(jnp.asarray, variables))


class LoadedTranslator:
    """Latent actions -> actions. Made by `load_translator`.

    Attributes:
      config: see `TranslatorConfig`.
    """

    def __init__(self, translator: Translator, variables: dict, config: TranslatorConfig):
        self.config = config
        self._outputs = jax.jit(lambda codes: translator.apply(variables, prefix_features(codes)))

    def __call__(self, codes):
        """Null-filled codes (B, K, D) or (K, D) -> actions: int32 (B,) or float32 (B, A).

        Raises:
          ValueError: as `outputs`.
        """
        outputs = self.outputs(codes)
        return outputs.argmax(-1).astype(np.int32) if self.config.discrete else outputs

    def outputs(self, codes):
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


def _absolute(path: epath.Path) -> epath.Path:
    return path if "://" in str(path) else path.resolve()
