"""What families of models of vectors share: the state of their data as frames."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from experiments.vector_statistics import vector_columns
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.vectors import VectorSettings, level_scales, positions, read_vectors
from flexlam_jax.objectives.vector_lam import STATE, Framing

_VECTOR = "vector"
_OF_PICTURES = {
    **{"multiscale": 0.0, "motion": 0.0, "gain": False},
    **{"shift": 0, "cross": 0.0, "feature": 0.0},
}


def reads_vectors(config: Any) -> bool:
    """Whether a config's model has an encoder of vectors."""
    return config.model.encoder.get("kind") == _VECTOR


def framed_config(config: Any) -> tuple[ConfigDict, Framing, int]:
    """(the config with what its data say of their columns; how batches become frames; the columns of
    a batch's state).

    On paper, without data, there are as many columns as `model.image_size` says, and no units.

    Raises:
      ConfigError: a model or loss that is for pictures, columns that are not there, or a mask of no
        column.
      DataError: data without state, or with columns that never vary.
    """
    _check(config)
    config = ConfigDict(config.to_dict())
    config.vectors = dict(config.get("vectors") or {})
    settings, units = read_vectors(config.vectors)
    rows = frame_shape(config.model)[0]
    framing, width = Framing(units, (), settings.history), rows
    if config.data.get("path") or config.data.get("mixture"):
        held = _held(config.data)
        settings = _found(config.data, settings)
        _check_mask(config.loss, settings)
        config.vectors = dataclasses.asdict(settings)
        config.model.encoder["scales"] = config.model.decoder["scales"] = level_scales(settings)
        framing = Framing(
            read_vectors(config.vectors)[1],
            positions(settings.columns, held),
            settings.history,
            positions(settings.exogenous, settings.columns),
        )
        rows, width = len(settings.columns), len(held)
    model = config.model.to_dict()
    config.model = ConfigDict({**model, "image_size": (rows, settings.history), "channels": 1})
    fields = dict.fromkeys((*config.data.get("fields", ()), STATE))
    config.data = ConfigDict({**config.data.to_dict(), "fields": tuple(fields)})
    return config, framing, width


def _held(data: Any) -> tuple[str, ...]:
    """The columns of the data's state, those of the first dataset."""
    entry = next(iter(loader_options(data).entries.values()))
    info = open_dataset(entry.path)
    return info.spec(select_datasets(info, entry.datasets, entry.cameras)[0]).state_names


def _found(data: Any, settings: VectorSettings) -> VectorSettings:
    found = vector_columns(data, settings.columns)
    outside = tuple(settings.exogenous or found.exogenous)
    positions(outside, found.columns)  # Raises for one that is not there.
    numbers = {**dataclasses.asdict(found), "exogenous": outside}
    return dataclasses.replace(settings, **numbers)


def _check(config: Any) -> None:
    model, loss = config.model, config.loss
    for part in ("encoder", "decoder"):
        if model[part].get("kind") != _VECTOR:
            raise ConfigError(
                f"config.model.{part}.kind={model[part].get('kind')!r} is for pictures, and the model "
                f"is of vectors; give {_VECTOR!r}"
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


def _check_mask(loss: Any, settings: VectorSettings) -> None:
    """Masks are of columns. Raises ConfigError where none, or all, are exogenous."""
    mask, outside = loss.get("mask", ""), len(settings.exogenous)
    if mask and not 0 < outside < len(settings.columns):
        raise ConfigError(
            f"config.loss.mask={mask!r} weighs columns that the agent does not control, and "
            f"{'all' if outside else 'none'} of {', '.join(settings.columns)} are such; name them with "
            "config.vectors.exogenous, or leave out config.loss.mask"
        )
