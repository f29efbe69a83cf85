"""The latent action model: each frame of a clip from the one before and a prefix of the slots."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.configs.keys import LamConfig
from experiments.data_hashes import data_hashes
from experiments.tasks import lam_evaluators
from experiments.tasks.clips import (
    check_autoencoder,
    check_rows,
    check_sizes,
    data_of,
    held_out_loss,
    training_data,
)
from experiments.tasks.remedies import beside_frames, check_partners
from experiments.tasks.task import Task
from flexlam_jax.models.lam import build_lam, frame_shape
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = LamConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model or loss that cannot be built, or a `data.image_size` that is not the
        model's, or rows for streams, which its batches lack; remedies that the data section does
        not serve; an autoencoder that nobody trained.
    """
    check_sizes(config)
    check_rows(config)
    check_autoencoder(config, "decoder")
    clip = (config.data.clip_length, *frame_shape(config.model))
    model = build_lam(config.model)
    objective = lam_objective(model, config.model, config.loss, clip_length=config.data.clip_length)
    lam_evaluators.asked_for(config)  # Raises for wrong names.
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch={
            "frames": jax.ShapeDtypeStruct((config.batch_size, *clip), jnp.uint8),
            **beside_frames(config, config.batch_size),
        },
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective, model),
        data_hashes=lambda: data_hashes(data_of(config, config.data.split), splits),
    )


def _training(config: Any, rows: Sequence[int]):
    data = data_of(config, config.data.split)
    check_partners(config, data)
    return training_data(config, data, rows)


def _evaluators(
    config: Any, objective: Any, model: Any, rows: Sequence[int]
) -> tuple[Evaluate, ...]:
    """Mean loss and `eval.evaluators` on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    loss = held_out_loss(config, objective, data_of(config, "validation"), rows)
    evaluators = lam_evaluators.asked_for(config)
    if not evaluators:
        return (loss,)
    splits = (data_of(config, "validation"), data_of(config, config.data.split))
    return (
        loss,
        lam_evaluators.in_training(evaluators, config, model, *splits, rows=config.batch_size),
    )
