"""What remedies of the `loss` section need of the data, checked before any record is read."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import open_sidecar
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.opening import open_data
from data_pipelines.loading.options import loader_options
from data_pipelines.loading.pairing import check_shared_agent
from data_pipelines.loading.sidecar_columns import chosen_array
from experiments.tasks.clips import data_of
from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.objectives.remedies.partners import PAIR


def beside_frames(config: Any, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What the objective reads of a batch of video beside `frames`; {} without remedies.

    Raises:
      ConfigError: the `data` section does not ask for what the `loss` section needs.
      DataError: a column that is not there.
    """
    loss = read("loss", config.loss, LossSettings)
    clip, pixels = (rows, config.data.clip_length), frame_shape(config.model)
    paired = config.data.get("pair_with", "")
    held = {}
    if loss.mask:
        views = tuple(config.data.get("views", ()))
        if loss.mask not in views and views != ("all",):
            raise ConfigError(
                f"config.loss.mask={loss.mask!r} needs masks beside the frames; give "
                f"--config.data.views=\"('{loss.mask}',)\""
            )
        held[f"frames_{loss.mask}"] = (*clip, *pixels[:2], 1), jnp.uint8
    if loss.cross:
        if not paired:
            raise ConfigError(
                f"config.loss.cross={loss.cross} needs paired rows; give --config.data.pair_with="
                "exogenous (other distractors) or camera, for data that hold every recording twice"
            )
        if loss.mask and paired == "camera":
            raise ConfigError(
                f"config.loss.mask={loss.mask!r} says where the agent is for one camera, and "
                "config.data.pair_with='camera' pairs it with another; leave out one of them"
            )
        held[PAIR] = (*clip, *pixels), jnp.uint8
    if loss.column:
        row, dtype = _column(config, loss.column)
        held[loss.column] = (*clip, *row), dtype
    return {name: jax.ShapeDtypeStruct(*what) for name, what in held.items()}


def check_partners(config: Any, data: Mapping[str, Any]) -> None:
    """The partners of the cross term share what the agent did, as far as the data can tell.

    Args:
      data: the loader's options that the run reads.

    Raises:
      DataError: actions or states of the agent differ between partners, or as `training_batches`.
    """
    if read("loss", config.loss, LossSettings).cross:
        opened = open_data(loader_options(data))
        check_shared_agent(opened.datasets, opened.pairs)


def _column(config: Any, column: str) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, type) of a row of the supplied features; a guess on paper, without data."""
    data = data_of(config, config.data.split)
    if not (data.get("path") or data.get("mixture")):
        return (config.loss.get("feature_width", 64),), np.dtype(np.float32)
    for mixed, entry in loader_options(data).entries.items():
        where = f"config.data.mixture.{mixed}.sidecars" if mixed else "config.data.sidecars"
        if column not in entry.sidecars:
            continue
        given = entry.sidecars[column]
        given = given if isinstance(given, Mapping) else {"path": given}
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            sidecar = open_sidecar(given["path"], info, name, data["split"])
            if sidecar.facts.alignment != "frame":
                raise ConfigError(
                    f"config.loss.feature_space={column!r}: {where}.{column} has a row for every "
                    f"{sidecar.facts.alignment}; features are of frames"
                )
            row = sidecar.facts.arrays[chosen_array(sidecar, column, given.get("array"))]
            return tuple(row.shape), np.dtype(row.dtype)
    raise ConfigError(
        f"config.loss.feature_space={column!r} is neither 'ema' nor 'inverse', and config.data.sidecars "
        f"names no such column; give --config.data.sidecars.{column}=FOLDER"
    )
