"""The latent action model of vectors: the state of each instant from the one before and a prefix.

Observations are `state` of the data (tables, telemetry, robots without a camera), in units that the
run finds in its data and is recorded with; the model is a latent action model like any other.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.configs.keys import VectorLamConfig
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import check_rows, data_of, held_out_loss, training_data
from experiments.tasks.task import Task
from experiments.tasks.vectors import framed_config
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.vector_lam import STATE, vector_objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = VectorLamConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `vectors`, `loss`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model or loss that cannot be built; rows for streams; as `framed_config`.
      DataError: as `framed_config`.
    """
    check_rows(config)
    if names := config.eval.get("evaluators", ()):
        raise ConfigError(
            f"config.eval.evaluators={tuple(names)}: config.kind='vector_lam' tells the held-out loss "
            "only; run experiments.evaluate_lam on its checkpoints"
        )
    config, framing, width = framed_config(config)
    length = config.data.clip_length
    lam = lam_objective(build_lam(config.model), config.model, config.loss, clip_length=length)
    objective = vector_objective(lam, framing)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    state = jax.ShapeDtypeStruct((config.batch_size, length, width), jnp.float32)
    return Task(
        objective=objective,
        batch={STATE: state},
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _training(config: Any, rows: Sequence[int]):
    return training_data(config, data_of(config, config.data.split), rows)


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, data_of(config, "validation"), rows),)
