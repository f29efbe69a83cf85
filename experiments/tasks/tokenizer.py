"""The video tokenizer: frames of a clip from a grid of discrete tokens each."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.configs.keys import TokenizerConfig
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import check_rows, check_sizes, data_of, held_out_loss, training_data
from experiments.tasks.task import Task
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.tokenizer import tokenizer_objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = TokenizerConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model or loss that cannot be built, a `data.image_size` that is not the
        model's, or rows for streams, which its batches lack.
    """
    check_sizes(config)
    check_rows(config)
    clip_length = config.data.clip_length
    objective = tokenizer_objective(
        build_tokenizer(config.model), config.model, config.loss, clip_length=clip_length
    )
    shape = (config.batch_size, clip_length, *frame_shape(config.model))
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch={"frames": jax.ShapeDtypeStruct(shape, jnp.uint8)},
        data=lambda rows: training_data(config, data_of(config, config.data.split), rows),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: data_hashes(data_of(config, config.data.split), splits),
    )


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, data_of(config, "validation"), rows),)
