"""Chunk policies: the flat BAKU baseline, and the two levels of HiLAM, by what they read and predict.

    flat        actions from pictures and a sentence        reads.skill=""      predicts.columns=()
    high level  skills from pictures and a sentence         predicts.columns=('skill',)
    low level   latents or actions from pictures and skill  reads.skill=skill   model.text.kind=none

Columns are those of `data.sidecars`.
"""

import functools
from collections.abc import Sequence
from typing import Any

from data_pipelines.loading.options import LoaderOptions
from experiments.configs.keys import PolicyConfig
from experiments.data_hashes import data_hashes
from experiments.policy_batches import (
    PolicyBatches,
    batch_shapes,
    check_asked,
    frame_fields,
    policy_batches,
)
from experiments.policy_data import with_camera, with_data, without_columns
from experiments.policy_text import table_of, text_hashes, with_text
from experiments.tasks.clips import check_every_frame, check_rows, check_sizes, loss_on
from experiments.tasks.task import Task
from flexlam_jax.config.settings import defaults
from flexlam_jax.models.baku import build_chunk_policy
from flexlam_jax.objectives.chunk_policy import chunk_policy_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = PolicyConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `reads`, `predicts`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model that cannot be built; a `data.image_size` that is not the model's; rows
        for streams; loader options that the policy sets itself; a gap between the steps of a
        history.
      DataError: data that lack what is read or predicted, see `policy_data.with_data`.
      UserError: a table of sentences that does not fit them, see `policy_text.with_text`.
    """
    check_sizes(config)
    check_rows(config)
    check_asked(config, defaults(LoaderOptions))
    if config.model.history > 1:
        check_every_frame(config.data)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    config = with_text(with_data(config), splits)
    objective = chunk_policy_objective(
        build_chunk_policy(config.model, config.reads, config.predicts),
        frame_fields(config),
        dtype=config.model.dtype,
    )
    return Task(
        objective=objective,
        batch=batch_shapes(config),
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: _hashes(config, splits) | text_hashes(config, splits),
        beside=lambda: table_of(config),
        config=config,
    )


def _training(config: Any, rows: Sequence[int]) -> PolicyBatches:
    return policy_batches(
        config, config.data.split, seed=config.seed, batch_size=config.batch_size, rows=rows
    )


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()

    # The same rows in every run, drawn one by one however training draws its own.
    held_out = policy_batches(
        config, "validation", seed=0, batch_size=config.batch_size, rows=rows, pairs_per_clip=1
    )
    return (loss_on(config, objective, held_out),)


def _hashes(config: Any, splits: Sequence[str]) -> dict[str, str]:
    """Of what all cameras show; columns are those of the first."""
    first, *others = config.reads.cameras or ("",)
    hashes = data_hashes(with_camera(config.data, first) if first else config.data, splits)
    for camera in others:
        hashes |= data_hashes(without_columns(with_camera(config.data, camera)), splits)
    return hashes
