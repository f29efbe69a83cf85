"""Behaviour cloning from true actions: one policy for all the datasets that a config names."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from data_pipelines.format.spec import ActionSpec
from experiments.configs.keys import BehaviourCloningConfig
from experiments.data_actions import shared_actions
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import (
    check_every_frame,
    check_rows,
    check_sizes,
    data_of,
    held_out_loss,
    training_data,
)
from experiments.tasks.task import Task
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.objectives.behaviour_cloning import behaviour_cloning_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = BehaviourCloningConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model that cannot be built; a `data.image_size` that is not the model's; rows
        for streams; a gap; names of actions that are not those of the data.
      DataError: datasets without actions or with different ones.
    """
    check_sizes(config)
    check_rows(config)
    check_every_frame(config.data)
    config = _with_actions(config)
    model, clip_length = config.model, config.data.clip_length
    objective = behaviour_cloning_objective(
        build_behaviour_cloning(model), model, clip_length=clip_length
    )
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch=_batch(model, (config.batch_size, clip_length)),
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _batch(model: Any, rows_and_times: tuple[int, int]) -> dict[str, jax.ShapeDtypeStruct]:
    rows, times = rows_and_times
    frames = jax.ShapeDtypeStruct((rows, times, *frame_shape(model)), jnp.uint8)
    one, dtype = ((), jnp.int32) if model.discrete else ((len(model.action_names),), jnp.float32)
    return {"frames": frames, "action": jax.ShapeDtypeStruct((rows, times - 1, *one), dtype)}


def _with_actions(config: Any) -> ConfigDict:
    """The config with the actions of its data; those that it names where it has no data, on paper.

    Raises:
      ConfigError: it names others than the data.
    """
    if not config.data.path and not config.data.get("mixture"):
        return config
    found = shared_actions(config.data)
    given = config.model.get("action_names", ())
    if given and not _agree(config.model, found):
        raise ConfigError(
            f"config.model.action_names={tuple(given)} with discrete={config.model.discrete}, but "
            f"the data have {found.kind} actions {found.names}; leave them out for those of the "
            "data: --config.model.action_names='()'"
        )
    config = ConfigDict(config.to_dict())
    config.model.action_names = tuple(found.names)
    config.model.discrete = found.kind == "discrete"
    return config


def _agree(model: Any, found: ActionSpec) -> bool:
    return (
        tuple(model.action_names) == tuple(found.names)
        and ("discrete" if model.discrete else "continuous") == found.kind
    )


def _data(config: Any, split: str) -> dict[str, Any]:
    return {**data_of(config, split), "fields": ("action",)}


def _training(config: Any, rows: Sequence[int]):
    return training_data(config, _data(config, config.data.split), rows)


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, _data(config, "validation"), rows),)
