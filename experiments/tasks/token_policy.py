"""The latent-token policy: the next latent action from what is seen, trained without actions.

The latent actions are frozen: they lie in sidecars that experiments.extract_latents wrote.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.configs.keys import TokenPolicyConfig
from experiments.data_codes import shared_codes
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import check_rows, check_sizes, data_of, held_out_loss, training_data
from experiments.tasks.task import Task
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.token_policy import build_token_policy, clip_shapes
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.token_policy import token_policy_objective
from flexlam_jax.training.loop import Evaluate

SETTINGS = TokenPolicyConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `codes`, `data` and `eval`, and seed and batch_size.

    Raises:
      ConfigError: a model that cannot be built; a `data.image_size` or `data.clip_length` that is
        not the model's; rows for streams.
      DataError: no latent actions beside the data, or those of several models.
    """
    check_sizes(config)
    check_rows(config)
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    config = _with_clips(_with_codes(config, splits))
    objective = token_policy_objective(
        build_token_policy(config.model, config.codes), dtype=config.model.dtype
    )
    return Task(
        objective=objective,
        batch={
            name: jax.ShapeDtypeStruct((config.batch_size, *row.shape), row.dtype)
            for name, row in clip_shapes(config.model, config.codes).items()
        },
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: data_hashes(config.data, splits),
        config=config,
    )


def _with_codes(config: Any, splits: Sequence[str]) -> ConfigDict:
    """The config with what its sidecars say of the codes; as given where it has no data, on paper."""
    config = ConfigDict(config.to_dict())
    codes, lam = config.get("codes", {}), config.get("lam", {})
    if config.data.get("path") or config.data.get("mixture"):
        codes = dataclasses.asdict(shared_codes(config.data, splits))
        lam = {
            "checkpoint": lam.get("checkpoint", ""),
            **{name: codes.pop(name) for name in ("step", "fingerprint")},
        }
    # Left out where there are none: as runs were recorded before codes had digits.
    codes = {name: value for name, value in dict(codes).items() if value is not None}
    config.codes, config.lam = codes, lam
    return config


def _with_clips(config: ConfigDict) -> ConfigDict:
    """Clips are as long as the model's context and stack of frames ask for."""
    needed = clip_shapes(config.model, config.codes)["frames"].shape[0]
    given = config.data.clip_length
    if given not in (2, needed):  # 2 is the default.
        raise ConfigError(
            f"config.data.clip_length={given}, but config.model.context="
            f"{config.model.context} and its stack of frames make it {needed}; leave out "
            "config.data.clip_length"
        )
    config.data.clip_length = needed
    return config


def _training(config: Any, rows: Sequence[int]):
    return training_data(config, data_of(config, config.data.split), rows)


def _evaluators(config: Any, objective: Objective, rows: Sequence[int]) -> tuple[Evaluate, ...]:
    """Mean loss and metrics on `eval.batches` batches of the validation split."""
    if not config.eval.batches:
        return ()
    return (held_out_loss(config, objective, data_of(config, "validation"), rows),)
