"""HiLAM: skills of variable length from the latent actions of a frozen model, without actions.

The latent actions are continuous slots in sidecars that experiments.extract_latents wrote; every
row of a batch is a piece of an episode, `data.column_chunk` steps or what is left of it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.configs.keys import HiLamConfig
from experiments.data_codes import shared_codes
from experiments.data_hashes import data_hashes
from experiments.latent_statistics import latent_statistics
from experiments.tasks.clips import check_rows, held_out_loss, training_data
from experiments.tasks.task import Task
from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.hilam import HiLamSettings, build_hilam, latent_size
from flexlam_jax.models.token_policy import CodeSettings
from flexlam_jax.objectives.hilam import hilam_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = HiLamConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `codes`, `latents`, `data` and `eval`, and seed and
    batch_size.

    Raises:
      ConfigError: a model that cannot be built; sequences of fewer than two steps; discrete codes;
        rows for streams.
      DataError: no latent actions beside the data, or those of several models.
    """
    check_rows(config)
    _check_length(config.data)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    config = _with_latents(config, splits)
    model = build_hilam(config.model, config.codes, config.latents)
    length, codes = config.data.column_chunk, config.codes
    objective = hilam_objective(
        model, config.model.targets, config.loss, length=length, dtype=config.model.dtype
    )
    shape = config.batch_size, length, codes.slots, codes.slot_width
    return Task(
        objective=objective,
        batch={
            "slots_chunk": jax.ShapeDtypeStruct(shape, jnp.float32),
            "slots_chunk_mask": jax.ShapeDtypeStruct(shape[:2], jnp.bool_),
        },
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
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
            f"config.data.clip_length={data.clip_length}, but no frames are read and the sequences "
            "are of config.data.column_chunk steps; leave out config.data.clip_length"
        )


def _with_latents(config: Any, splits: Sequence[str]) -> ConfigDict:
    """The config with what its sidecars say; as given where it has no data, on paper."""
    config = ConfigDict(config.to_dict())
    if not config.data.get("path") and not config.data.get("mixture"):
        return config
    codes = dataclasses.asdict(shared_codes(config.data, splits))
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
    model = read("model", config.model, HiLamSettings)
    if model.normalise:
        size = latent_size(model, read("codes", codes, CodeSettings))
        mean, scale = latent_statistics(config.data, config.data.split, size)
        config.latents = {"mean": mean, "scale": scale}
    return config


def _training(config: Any, rows: Sequence[int]):
    return training_data(config, config.data, rows)


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    data = {**config.data, "split": "validation"}
    return (held_out_loss(config, objective, data, rows),)
