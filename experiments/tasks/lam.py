"""The latent action model: each frame of a clip from the one before and a prefix of the slots."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.loading.loader import training_batches
from experiments.configs.keys import LamConfig
from experiments.data_hashes import data_hashes
from experiments.tasks import lam_evaluators
from experiments.tasks.task import Task
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam, frame_shape
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.parallel.streams import is_streams
from flexlam_jax.training.loop import Evaluate
from flexlam_jax.training.validation import mean_loss

SETTINGS = LamConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model or loss that cannot be built, or a `data.image_size` that is not the
        model's, or rows for streams, which its batches lack.
    """
    _check_sizes(config)
    _check_rows(config)
    clip = (config.data.clip_length, *frame_shape(config.model))
    model = build_lam(config.model)
    objective = lam_objective(model, config.model, config.loss, clip_length=config.data.clip_length)
    lam_evaluators.asked_for(config)  # Raises for wrong names.
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch={"frames": jax.ShapeDtypeStruct((config.batch_size, *clip), jnp.uint8)},
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective, model),
        data_hashes=lambda: data_hashes(_data(config, config.data.split), splits),
    )


def _check_sizes(config: Any) -> None:
    """The loader brings frames to the size that the model reads, or refuses them."""
    size, given = config.model.image_size, config.data.get("image_size", 0)
    if given and given != size:
        raise ConfigError(
            f"config.data.image_size={given} but config.model.image_size={size}; the model's "
            "decides for both, so leave out config.data.image_size"
        )


def _check_rows(config: Any) -> None:
    """Its batches have no streams, so there is one number of rows."""
    if is_streams(config.batch_size):
        raise ConfigError(
            f"config.batch_size has rows for the streams {', '.join(config.batch_size)}, and a "
            "batch of config.kind='lam' has none; give one number, as in config.batch_size=64"
        )


def _training(config: Any, rows: Sequence[int]):
    return training_batches(
        _data(config, config.data.split), seed=config.seed, batch_size=config.batch_size, rows=rows
    )


def _evaluators(
    config: Any, objective: Any, model: Any, rows: Sequence[int]
) -> tuple[Evaluate, ...]:
    """Mean loss and `eval.evaluators` on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    loss = _mean_loss(config, objective, rows)
    evaluators = lam_evaluators.asked_for(config)
    if not evaluators:
        return (loss,)
    splits = (_data(config, "validation"), _data(config, config.data.split))
    return (
        loss,
        lam_evaluators.in_training(evaluators, config, model, *splits, rows=config.batch_size),
    )


def _mean_loss(config: Any, objective: Any, rows: Sequence[int]) -> Evaluate:
    """On shuffled batches, the same in every run.

    Opens the data now and reads it at the first evaluation.
    """
    # Held-out rows are drawn one by one, however training draws its own.
    data = {**_data(config, "validation"), "pairs_per_clip": 1}
    batches = training_batches(data, seed=0, batch_size=config.batch_size, rows=rows)

    def draw():
        drawn = [next(batches) for _ in range(config.eval.batches)]
        batches.close()
        return drawn

    return mean_loss(objective, draw, batch_size=config.batch_size, seed=config.seed)


def _data(config: Any, split: str) -> Mapping[str, Any]:
    size = config.model.image_size
    return {**config.data, "split": split, "image_size": size if isinstance(size, int) else 0}
