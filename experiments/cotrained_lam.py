"""The latent action model that a run trains with its dynamics: where it starts, and its loss."""

from typing import Any

from experiments.frozen_lam import gap_of, open_lam, start_with
from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.loading.load import kind_of
from flexlam_jax.models.bottleneck import prefix_samplers
from flexlam_jax.models.lam import (
    LamSettings,
    LatentActionModel,
    build_lam,
    frame_shape,
    resolve_config,
)
from flexlam_jax.objectives.cotraining import (
    DynamicsLamSettings,
    cotraining_objective,
    sharing_objective,
)
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.objectives.objective import Objective

Shape = tuple[int, int, int]


def take_model(config: Any, reads: Shape | None) -> LatentActionModel:
    """Writes into the config which model it trains and what its actions are.

    Args:
      config: of dynamics, with `lam.train`.
      reads: shape of the frames that the tokenizer reads; None for none.

    Raises:
      ConfigError: nothing to train, or a model that cannot be trained so.
      CheckpointError: as `open_lam`.
    """
    settings = read("lam", config.lam, DynamicsLamSettings)
    _check(config, settings)
    if settings.checkpoint:
        _check_labels(settings)
        lam = open_lam(config)
        config.data.gap = gap_of(config.data, lam)
        config.lam.update(step=lam.step, fingerprint=lam.fingerprint())
        config.lam.model, config.lam.loss = lam.config["model"], lam.config.get("loss") or {}
        start_with(config, lam)
    else:
        config.data.gap = gap_of(config.data, None)
    config.lam.model = resolve_config(config.lam.model)
    read("lam.model", config.lam.model, LamSettings)
    model = build_lam(config.lam.model)
    _check_reads(config, reads)
    config.actions = {
        "slots": model.slots,
        "slot_width": model.quantizer.width,
        "keep": prefix_samplers(config.lam.model)[0],
        "names": (),
        "discrete": True,
    }
    return model


def trained_with(dynamics: Objective, model: LatentActionModel, config: Any) -> Objective:
    """The objective of both; `config` as `take_model` left it. Raises ConfigError for a wrong loss."""
    lam = sharing_objective(
        model, config.lam.model, config.lam.loss, clip_length=config.data.clip_length
    )
    return cotraining_objective(dynamics, lam, read("lam", config.lam, DynamicsLamSettings))


def _check(config: Any, settings: DynamicsLamSettings) -> None:
    """Raises ConfigError for what contradicts co-training, before anything is read."""
    if config.model.action != "latent":
        raise ConfigError(
            f"config.lam.train=True, but config.model.action={config.model.action!r} reads no latent "
            "actions; leave one of them out"
        )
    if not (settings.checkpoint or settings.model):
        raise ConfigError(
            "config.lam.train=True trains the model of config.lam.checkpoint on, or one from scratch "
            "whose settings are config.lam.model and config.lam.loss, as in "
            "experiments/configs/dynamics.py:cotrain; give one of them"
        )
    waits = settings.warmup_steps + settings.ramp_steps
    if waits >= config.total_steps:
        raise ConfigError(
            f"config.lam.warmup_steps={settings.warmup_steps} and config.lam.ramp_steps="
            f"{settings.ramp_steps} last to the end of config.total_steps={config.total_steps}, and "
            "then nothing is trained together; lower them, or freeze the model with "
            "config.lam.train=False"
        )


def _check_labels(settings: DynamicsLamSettings) -> None:
    if kind_of(settings.checkpoint, settings.step or None) == "lam_finetune":
        raise ConfigError(
            f"config.lam.checkpoint={settings.checkpoint!r} learned from labelled actions too, "
            "which dynamics do not read; freeze it with config.lam.train=False, or give a model of "
            "video alone"
        )


def _check_reads(config: Any, reads: Shape | None) -> None:
    """The model learns from the frames that the tokenizer reads, and from nothing beside them."""
    own = frame_shape(config.lam.model)
    if reads is not None and own != reads:
        sizes = [" x ".join(map(str, shape)) for shape in (reads, own)]
        raise ConfigError(
            f"config.tokenizer.checkpoint reads frames of {sizes[0]} and config.lam of {sizes[1]}; "
            "give two models of one size"
        )
    if config.lam.model.encoder.kind == "vector":
        raise ConfigError(
            "config.lam.model.encoder.kind='vector' reads vectors, and dynamics are trained on frames"
        )
    loss = read("lam.loss", config.lam.loss, LossSettings)
    for key, asked in {
        "mask": loss.mask,
        "cross": loss.cross,
        "feature_space": loss.column,
    }.items():
        if asked:
            raise ConfigError(
                f"config.lam.loss.{key}={asked!r} needs more of the data than frames, and batches of "
                "dynamics hold no more; leave it out"
            )
