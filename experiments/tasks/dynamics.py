"""Dynamics of a world: the tokens of the next frames under latent actions, from video alone.

A frozen tokenizer and a latent action model, frozen or trained along (experiments/cotrained_lam.py),
read the frames of a clip inside the step; on paper, without the checkpoints of frozen ones, batches hold
what they would make.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.configs.keys import DynamicsConfig
from experiments.cotrained_lam import take_model, trained_with
from experiments.data_actions import shared_actions
from experiments.data_hashes import data_hashes
from experiments.frozen_lam import freeze, frozen_lam, gap_of, open_lam
from experiments.frozen_parts import frames_for
from experiments.frozen_tokenizer import freeze_tokenizer, frozen_tokenizer, open_tokenizer
from experiments.tasks.clips import check_every_frame, check_rows, held_out_loss, training_data
from experiments.tasks.task import Task
from flexlam_jax.errors import ConfigError
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.models.bottleneck import prefix_samplers
from flexlam_jax.models.dynamics_settings import build_dynamics
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.objectives.dynamics import FrozenModels, dynamics_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = DynamicsConfig
_NEEDED = {
    "tokenizer": "--config.tokenizer.checkpoint=runs/tokenizer",
    "lam": "--config.lam.checkpoint=runs/lam",
}


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `tokenizer`, `tokens`, `lam`, `actions`, `data` and `eval`,
    and seed and batch_size.

    Raises:
      ConfigError: a model that cannot be built; a checkpoint that is missing, is not needed, or is
        not the one that is named; models of frames of different sizes, or of another size than the
        data are asked for; a latent action model that cannot be trained along, or nothing of one;
        rows for streams; true actions with a gap.
      CheckpointError: a checkpoint that holds no such model.
      DataError: true actions that the data lack.
    """
    check_rows(config)
    config = ConfigDict(config.to_dict())
    there = bool(config.data.get("path") or config.data.get("mixture"))
    tokenizer, lam = _frozen_models(config, there)
    if config.model.action == "true":
        _take_true_actions(config, there)
    learner = None
    if _trains_lam(config):
        if config.model.drafts:
            raise ConfigError(
                "config.model.drafts reads what a frozen latent action model decodes, and "
                "config.lam.train trains one along; leave one of the two out"
            )
        learner = take_model(config, tokenizer.frame_shape if tokenizer else None)
    model = build_dynamics(config.model, config.tokens, config.actions)
    objective = dynamics_objective(
        model,
        config.actions,
        config.loss,
        clip_length=config.data.clip_length,
        dtype=config.model.dtype,
        frozen=FrozenModels(
            frozen_tokenizer(tokenizer) if tokenizer else None,
            frozen_lam(lam, gap=1) if lam else None,  # Neighbours of a clip are a transition.
        ),
    )
    if learner is not None:
        objective = trained_with(objective, learner, config)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch=_batch(config, tokenizer),
        data=functools.partial(_training, config, tokenizer),
        evaluators=functools.partial(_evaluators, config, tokenizer, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _frozen_models(
    config: ConfigDict, there: bool
) -> tuple[LoadedTokenizer | None, LoadedLam | None]:
    """The frozen models that the config names, which are written into it; on paper, without data, none
    are needed."""
    action, trains = config.model.action, _trains_lam(config)
    if action == "true" and config.lam.checkpoint:
        raise ConfigError(
            f"config.lam.checkpoint={config.lam.checkpoint!r}, but config.model.action='true' reads no "
            "latent actions; leave it out"
        )
    frozen_lam_needed = action == "latent" and not trains
    needed = [name for name in _NEEDED if frozen_lam_needed or name != "lam"]
    if there or any(config[name].checkpoint for name in _NEEDED):
        for name in needed:
            if not config[name].checkpoint:
                raise ConfigError(
                    f"config.{name}.checkpoint is empty, and dynamics are learned with a frozen "
                    f"{name}; give its work directory, {_NEEDED[name]}"
                )
    if not config.tokenizer.checkpoint:
        return None, None
    tokenizer = open_tokenizer(config)
    freeze_tokenizer(config, tokenizer)
    frames_for("tokenizer", tokenizer.frame_shape, config.data)
    if trains or not config.lam.checkpoint:
        return tokenizer, None
    lam = open_lam(config)
    if lam.frame_shape != tokenizer.frame_shape:
        sizes = [" x ".join(map(str, one.frame_shape)) for one in (tokenizer, lam)]
        raise ConfigError(
            f"config.tokenizer.checkpoint reads frames of {sizes[0]} and config.lam.checkpoint of "
            f"{sizes[1]}; give two models of one size"
        )
    _take_latent_actions(config, lam)
    if action == "none":  # Told for what measures it: the same transitions, and codes of that size.
        return tokenizer, None
    freeze(config, lam)
    return tokenizer, lam


def _trains_lam(config: Any) -> bool:
    return bool(config.lam.get("train"))


def _take_latent_actions(config: ConfigDict, lam: LoadedLam) -> None:
    """Writes into the config what the frozen model's actions are."""
    config.data.gap = gap_of(config.data, lam)
    config.lam = {
        "checkpoint": config.lam.checkpoint,
        "step": lam.step,
        "fingerprint": lam.fingerprint(),
    }
    config.actions = {
        "slots": lam.slots,
        "slot_width": lam.slot_width,
        "keep": prefix_samplers(lam.config["model"])[0],
        "names": (),
        "discrete": True,
    }


def _take_true_actions(config: ConfigDict, there: bool) -> None:
    """Writes into the config what the actions of its data are."""
    check_every_frame(config.data, "a true action leads from one frame to the next")
    config.actions.slots = 1
    if there:
        found = shared_actions(config.data)
        config.actions.slot_width, config.actions.names = found.count, tuple(found.names)
        config.actions.discrete = found.kind == "discrete"


def _batch(config: Any, tokenizer: LoadedTokenizer | None) -> dict[str, Any]:
    rows, frames, of = config.batch_size, config.data.clip_length, config.actions
    held: dict[str, Any] = {}
    if tokenizer:
        held["frames"] = (rows, frames, *tokenizer.frame_shape), jnp.uint8
    else:
        held["ids"] = (rows, frames, config.tokens.count), jnp.int32
    if _trains_lam(config):
        held["frames"] = (rows, frames, *frame_shape(config.lam.model)), jnp.uint8
        return {name: jax.ShapeDtypeStruct(*what) for name, what in held.items()}
    if config.model.action == "true":
        one, dtype = ((), jnp.int32) if of.discrete else ((of.slot_width,), jnp.float32)
        held["action"] = (rows, frames - 1, *one), dtype
    elif config.model.action == "latent" and not tokenizer:
        held["slots"] = (rows, frames - 1, of.slots, of.slot_width), jnp.float32
        if config.model.drafts:
            held["drafts"] = (rows, frames - 1, config.tokens.count), jnp.int32
    return {name: jax.ShapeDtypeStruct(*what) for name, what in held.items()}


def _data(config: Any, tokenizer: LoadedTokenizer, split: str) -> dict[str, Any]:
    """The `data` section for a split, with frames as the frozen models read them."""
    size = frames_for("tokenizer", tokenizer.frame_shape, config.data)
    fields = ("action",) if config.model.action == "true" else ()
    return {**config.data, **size, "split": split, "fields": fields}


def _training(config: Any, tokenizer: LoadedTokenizer, rows: Sequence[int]):
    return training_data(config, _data(config, tokenizer, config.data.split), rows)


def _evaluators(
    config: Any, tokenizer: LoadedTokenizer, objective: Objective, rows: Sequence[int]
) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, _data(config, tokenizer, "validation"), rows),)
