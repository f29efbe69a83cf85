"""The latent action model of vectors: the state of each instant from the one before and a prefix.

Observations are `state` of the data (tables, telemetry, robots without a camera), in units that the
run finds in its data and is recorded with; the model is a latent action model like any other.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from experiments.configs.keys import VectorLamConfig
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import check_rows, held_out_loss, training_data
from experiments.tasks.task import Task
from experiments.vector_statistics import vector_columns
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam, frame_shape
from flexlam_jax.models.vectors import VectorSettings, level_scales, positions, read_vectors
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.vector_lam import STATE, vector_objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = VectorLamConfig
_VECTOR = "vector"
_OF_PICTURES = {
    **{"multiscale": 0.0, "motion": 0.0, "gain": False},
    **{"shift": 0, "cross": 0.0, "feature": 0.0},
}


def build(config: Any) -> Task:
    """Reads the sections `model`, `vectors`, `loss`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model or loss that cannot be built, or that is for pictures; rows for streams.
      DataError: data without state, or with columns that never vary.
    """
    check_rows(config)
    _check(config)
    config, held = _with_columns(config)
    settings, units = read_vectors(config.vectors)
    if held:
        _check_mask(config.loss, settings)
    model = build_lam(config.model)
    lam = lam_objective(model, config.model, config.loss, clip_length=config.data.clip_length)
    columns = positions(settings.columns, held) if held else ()
    outside = positions(settings.exogenous, settings.columns) if held else ()
    objective = vector_objective(lam, units, columns, settings.history, outside)
    width = len(held) or frame_shape(config.model)[0]
    state = (config.batch_size, config.data.clip_length, width)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch={STATE: jax.ShapeDtypeStruct(state, jnp.float32)},
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _check(config: Any) -> None:
    model, loss = config.model, config.loss
    for part in ("encoder", "decoder"):
        if model[part].get("kind") != _VECTOR:
            raise ConfigError(
                f"config.model.{part}.kind={model[part].get('kind')!r} is for pictures, and "
                f"config.kind='vector_lam' is of vectors; give {_VECTOR!r}"
            )
    if not model.get("residual", True):
        raise ConfigError(
            "config.model.residual=False: the decoder of vectors predicts a change; leave it out"
        )
    for name, off in _OF_PICTURES.items():
        if loss.get(name, off) != off:
            raise ConfigError(
                f"config.loss.{name}={loss[name]!r} is for pictures; leave it out for vectors"
            )
    if names := config.eval.get("evaluators", ()):
        raise ConfigError(
            f"config.eval.evaluators={tuple(names)}: config.kind='vector_lam' tells the held-out loss "
            "only; run experiments.evaluate_lam on its checkpoints"
        )


def _check_mask(loss: Any, settings: VectorSettings) -> None:
    """Masks are of columns. Raises ConfigError where none, or all, are exogenous."""
    mask, outside = loss.get("mask", ""), len(settings.exogenous)
    if mask and not 0 < outside < len(settings.columns):
        raise ConfigError(
            f"config.loss.mask={mask!r} weighs columns that the agent does not control, and "
            f"{'all' if outside else 'none'} of {', '.join(settings.columns)} are such; name them with "
            "config.vectors.exogenous, or leave out config.loss.mask"
        )


def _with_columns(config: Any) -> tuple[ConfigDict, tuple[str, ...]]:
    """(the config with what the run found in its data, the columns of the data's state).

    On paper, without data, there are as many columns as `model.image_size` says, and no units.
    """
    config = ConfigDict(config.to_dict())
    config.vectors = dict(config.get("vectors") or {})
    settings, _ = read_vectors(config.vectors)
    held: tuple[str, ...] = ()
    if config.data.get("path") or config.data.get("mixture"):
        entry = next(iter(loader_options(config.data).entries.values()))
        info = open_dataset(entry.path)
        held = info.spec(select_datasets(info, entry.datasets, entry.cameras)[0]).state_names
        found = vector_columns(config.data, settings.columns)
        outside = settings.exogenous or found.exogenous
        positions(outside, found.columns)  # Raises for one that is not there.
        settings = dataclasses.replace(settings, **dataclasses.asdict(found))
        settings = dataclasses.replace(settings, exogenous=tuple(outside))
        config.vectors = dataclasses.asdict(settings)
        scales = level_scales(settings)
        config.model.encoder["scales"] = config.model.decoder["scales"] = scales
        rows = len(settings.columns)
    else:
        rows = frame_shape(config.model)[0]
    model = config.model.to_dict()
    model.update(image_size=(rows, settings.history), channels=1)
    config.model = ConfigDict(model)
    return config, tuple(held)


def _data(config: Any, split: str) -> dict[str, Any]:
    """The `data` section for a split, with the state."""
    fields = tuple(dict.fromkeys((*config.data.get("fields", ()), STATE)))
    return {**config.data, "split": split, "fields": fields}


def _training(config: Any, rows: Sequence[int]):
    return training_data(config, _data(config, config.data.split), rows)


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, _data(config, "validation"), rows),)
