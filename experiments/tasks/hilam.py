"""HiLAM: skills of variable length from the latent actions of a frozen model, without actions.

The latent actions are continuous slots in sidecars that experiments.extract_latents wrote, vectors
that another program wrote, or what a frozen model makes of frames inside the step; every row of a
batch is a piece of an episode, `data.column_chunk` steps or what is left of it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.configs.keys import HiLamConfig
from experiments.data_codes import COLUMNS, shared_codes, shared_vectors
from experiments.data_hashes import data_hashes
from experiments.frozen_lam import (
    encoded_statistics,
    frame_options,
    freeze,
    frozen_lam,
    gap_of,
    open_lam,
)
from experiments.latent_statistics import latent_statistics
from experiments.sequence_lengths import check_sequences
from experiments.tasks.clips import check_rows, held_out_loss, training_data
from experiments.tasks.task import Task
from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.models.hilam import HiLamSettings, build_hilam, latent_size
from flexlam_jax.models.token_policy import CodeSettings
from flexlam_jax.objectives.hilam import LatentSource, hilam_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = HiLamConfig
_SLOTS = "slots"


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `codes`, `latents`, `lam`, `data` and `eval`, and seed and
    batch_size.

    Raises:
      ConfigError: a model that cannot be built; sequences of fewer than two steps; discrete codes;
        rows for streams; a reconstruction without a model that decodes, or with another one than
        made the latent actions.
      CheckpointError: `lam.checkpoint` is needed and holds no latent action model.
      DataError: no latent actions beside the data, or those of several models; no episode with two.
    """
    check_rows(config)
    _check_length(config.data)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    config, row, lam = _with_latents(config, splits)
    model = build_hilam(config.model, config.codes, config.latents)
    length = config.data.column_chunk
    source = LatentSource(
        column=config.latents.column if row else "",
        lam=frozen_lam(lam, config.codes.gap) if lam else None,
    )
    objective = hilam_objective(
        model,
        config.model.targets,
        config.loss,
        length=length,
        dtype=config.model.dtype,
        source=source,
    )
    return Task(
        objective=objective,
        batch=_batch(config, source, row),
        data=functools.partial(_training, config, lam),
        evaluators=functools.partial(_evaluators, config, lam, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _check_length(data: Any) -> None:
    if data.column_chunk < 2:
        raise ConfigError(
            f"config.data.column_chunk={data.column_chunk}: skills are learned from sequences of "
            "latent actions; give their steps, 2 or more, as in config.data.column_chunk=64"
        )
    if data.clip_length != 2:
        raise ConfigError(
            f"config.data.clip_length={data.clip_length}, but the sequences are of "
            "config.data.column_chunk steps; leave out config.data.clip_length"
        )
    if data.get("frame_chunk", 0):
        raise ConfigError(
            f"config.data.frame_chunk={data.frame_chunk}: which frames are read follows from "
            "config.data.column_chunk; leave out config.data.frame_chunk"
        )


def _batch(config: Any, source: LatentSource, row: tuple[int, ...]) -> dict[str, Any]:
    rows, length = config.batch_size, config.data.column_chunk
    held: dict[str, Any] = {}
    if source.column:
        held[f"{source.column}_chunk"] = (rows, length, *row), jnp.float32
        held[f"{source.column}_chunk_mask"] = (rows, length), jnp.bool_
    if source.lam:
        frames = rows, length + source.lam.gap
        held["frame_chunk"] = (*frames, *source.lam.frame_shape), jnp.uint8
        held["frame_chunk_mask"] = frames, jnp.bool_
    return {name: jax.ShapeDtypeStruct(*what) for name, what in held.items()}


def _with_latents(
    config: Any, splits: Sequence[str]
) -> tuple[ConfigDict, tuple[int, ...], LoadedLam | None]:
    """(the config with what its sidecars or its frozen model say; the shape of a sidecar's row, ()
    for latent actions that are encoded; the frozen model, None if none is needed).

    On paper, without data, sidecars are as `codes` says.
    """
    config = ConfigDict(config.to_dict())
    there = bool(config.data.get("path") or config.data.get("mixture"))
    slots = config.latents.get("column", _SLOTS) == _SLOTS
    unnamed = slots and not _names_latents(config.data)
    encoded = unnamed and bool(config.lam.checkpoint)
    row = (config.codes.slots, config.codes.slot_width)
    if there and unnamed and not encoded:
        raise ConfigError(
            "config.data.sidecars names no latent actions; give the folder that "
            "experiments.extract_latents wrote, config.data.sidecars.slots=latents, or the model that "
            "makes them inside the step, config.lam.checkpoint=runs/lam"
        )
    if there and not encoded:
        row = _read_sidecars(config, splits)
    lam = None
    if encoded or config.loss.get("reconstruction", 0):
        lam = _open_lam(config, encoded)
        _take_codes(config, lam, encoded)
        freeze(config, lam)
    if there:
        check_sequences(config.data, splits, config.codes.gap)
    model = read("model", config.model, HiLamSettings)
    if there and model.normalise:
        _find_statistics(config, model, lam, encoded)
    return config, () if encoded else row, lam


def _names_latents(data: Any) -> bool:
    sections = [data, *data.get("mixture", {}).values()]
    return any(set(COLUMNS).intersection(section.get("sidecars", {})) for section in sections)


def _read_sidecars(config: ConfigDict, splits: Sequence[str]) -> tuple[int, ...]:
    """Writes into the config what sidecars say; the shape of a row."""
    column = config.latents.get("column", _SLOTS)
    if column == _SLOTS:
        found = shared_codes(config.data, splits)
        row: tuple[int, ...] = (found.slots, found.slot_width)
    else:
        found, row = shared_vectors(config.data, splits, column)
    codes = dataclasses.asdict(found)
    if codes["codebook_size"]:
        raise ConfigError(
            "config.data.sidecars names ids, but skills are learned from the values of slots: give "
            "the same folder as config.data.sidecars.slots, and leave out ids"
        )
    config.lam = {
        "checkpoint": config.lam.checkpoint,
        **{name: codes.pop(name) for name in ("step", "fingerprint")},
    }
    config.codes = codes
    if config.data.gap == 1:  # The default.
        config.data.gap = codes["gap"]
    return row


def _open_lam(config: Any, encoded: bool) -> LoadedLam:
    weight = config.loss.get("reconstruction", 0)
    if not config.lam.checkpoint:
        raise ConfigError(
            f"config.loss.reconstruction={weight} needs the decoder of the model that made the latent "
            "actions; give its work directory, config.lam.checkpoint=runs/lam"
        )
    if not encoded and not config.lam.fingerprint:
        raise ConfigError(
            f"config.loss.reconstruction={weight}, but the vectors of config.latents.column="
            f"{config.latents.column!r} name no latent action model that could decode them; set it to "
            "0, or read the slots of experiments.extract_latents"
        )
    return open_lam(config)


def _take_codes(config: ConfigDict, lam: LoadedLam, encoded: bool) -> None:
    """Writes into the config what the frozen model's latent actions are."""
    config.lam = {
        "checkpoint": config.lam.checkpoint,
        "step": lam.step,
        "fingerprint": lam.fingerprint(),
    }
    if encoded:
        config.data.gap = gap_of(config.data, lam)
        config.codes = {
            "slots": lam.slots,
            "codebook_size": 0,
            "slot_width": lam.slot_width,
            "gap": config.data.gap,
            "levels": None,
        }


def _find_statistics(
    config: ConfigDict, model: HiLamSettings, lam: LoadedLam | None, encoded: bool
) -> None:
    """Those of encoded latent actions are kept if they are given."""
    size = latent_size(model, read("codes", config.codes, CodeSettings))
    latents, column = config.latents, config.latents.get("column", _SLOTS)
    if not encoded:
        mean, scale = latent_statistics(config.data, config.data.split, size, column)
    elif latents.mean or latents.scale:
        return
    else:
        data = {**config.data, **frame_options(config.data, lam), "column_chunk": 0}
        mean, scale = encoded_statistics(data, lam, size, config.seed)
    config.latents = {"column": column, "mean": mean, "scale": scale}


def _data(config: Any, lam: LoadedLam | None, split: str) -> dict[str, Any]:
    """The `data` section for a split, with frames where a frozen model reads them."""
    data = {**config.data, "split": split}
    if lam is None:
        return data
    frames = config.data.column_chunk + config.codes.gap
    return {**data, **frame_options(config.data, lam), "frame_chunk": frames}


def _training(config: Any, lam: LoadedLam | None, rows: Sequence[int]):
    return training_data(config, _data(config, lam, config.data.split), rows)


def _evaluators(
    config: Any, lam: LoadedLam | None, objective: Objective, rows: Sequence[int]
) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, _data(config, lam, "validation"), rows),)
