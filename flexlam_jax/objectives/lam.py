"""The objective of a latent action model: o_{t+1} from o_t and a random prefix of the slots."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import SWITCH, one_of, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.bottleneck import prefix_samplers, sample_keep
from flexlam_jax.models.flops import training_flops
from flexlam_jax.models.gain_head import GainHead
from flexlam_jax.models.lam import LamOutput, LatentActionModel, frame_shape, resolve_config
from flexlam_jax.models.motion_head import MotionHead
from flexlam_jax.objectives.code_usage import code_counts, usage_metrics
from flexlam_jax.objectives.gain import gain_term
from flexlam_jax.objectives.motion import motion_term
from flexlam_jax.objectives.objective import Mean, Objective
from flexlam_jax.objectives.reconstruction import PIXEL_LOSSES, multiscale, psnr
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The `loss` section of a config."""

    pixel: str = setting("mse", range=one_of(tuple(PIXEL_LOSSES)), help="loss of a pixel")
    multiscale: float = setting(0.0, range=real(0), help="weight of the same on pooled frames")
    motion: float = setting(
        0.0, range=real(0), help="weight of predicting local motion from the code alone"
    )
    gain: bool = setting(
        False, range=SWITCH, help='trains the head behind keep="auto"; the model never feels it'
    )


@flax.struct.dataclass
class LamResult:
    """What terms read: the model's `output`, the slots kept (B, T-1), and the target o_{t+1}, float
    (B, T-1, H, W, C); with P > 1 prefixes of each code (B, T-1, P) and (B, T-1, P, H, W, C)."""

    output: LamOutput
    keep: jax.Array
    target: jax.Array


def lam_objective(
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    loss_config: Mapping[str, Any] | None = None,
    *,
    clip_length: int = 2,
    terms: Sequence[Term] = (),
) -> Objective:
    """Builds the Objective of a LAM.

    Args:
      model: from build_lam(model_config).
      model_config: the `model` section of the config.
      loss_config: the `loss` section, see LossSettings.
      clip_length: frames per batch row, for FLOPs and transitions per row.
      terms: further terms of the loss; their `outputs` are `LamResult`s.

    Returns:
      Objective whose loss reads batch["frames"] uint8 (B, T, H, W, C), encodes each transition once
      and decodes `model.prefixes` prefixes of it, drawn apart; the loss is their mean.
      Metrics (float32 scalars): loss, reconstruction, psnr, copy_psnr (prediction := o_t), the
      quantiser's losses and stats, and for discrete codes code_usage and code_perplexity.

    Raises:
      ConfigError: unknown loss key or pixel loss.
    """
    settings = resolve_config(model_config)
    loss_settings = read("loss", loss_config, LossSettings)

    def init(rng: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, Any]:
        channels = batch["frames"].shape[-1]
        if channels != settings["channels"]:
            raise ConfigError(
                f"model.channels={settings['channels']} but the data has frames of {channels}"
            )
        # Two frames of one row are enough to fix every shape.
        return dict(model.init(fold_name(rng, "params"), batch["frames"][:1, :2]))

    def apply(params, extra, batch, rng):
        frames = batch["frames"]
        keep = _draw_prefixes(rng, settings, (frames.shape[0], frames.shape[1] - 1))
        output, extra = model.apply(
            {"params": params, **extra},
            frames,
            keep,
            train=True,
            rngs={name: fold_name(rng, name) for name in ("sample", "revive")},
            mutable=list(extra),
        )
        target = to_float(frames[:, 1:])
        if keep.ndim == 3:
            target = jnp.broadcast_to(target[:, :, None], output.prediction.shape)
        return LamResult(output, keep, target), extra

    def summary(totals):
        return usage_metrics(totals["code_counts"]) if totals else {}

    return objective_of(
        init,
        apply,
        [
            Term("reconstruction", functools.partial(_reconstruction, loss_settings)),
            *(_quantiser_term(name) for name in model.quantizer.loss_names),
            *([motion_term(MotionHead(), loss_settings.motion)] if loss_settings.motion else []),
            *([gain_term(GainHead())] if loss_settings.gain else []),
            *terms,
        ],
        report=functools.partial(_report, model.quantizer.codebook_size),
        summary=summary,
        flops_per_row=training_flops(
            model, (clip_length, *frame_shape(settings)), prefixes=settings["prefixes"]
        ),
        transitions_per_row=clip_length - 1,
        dtype=settings["dtype"],
    )


def _draw_prefixes(
    rng: jax.Array, settings: Mapping[str, Any], shape: tuple[int, int]
) -> jax.Array:
    """How many slots to keep, int32 (B, T-1), or (B, T-1, P) of P > 1 prefixes."""
    keeps = [
        sample_keep(
            fold_name(rng, f"keep_{i}" if i else "keep"), sampler, shape, slots=settings["slots"]
        )
        for i, sampler in enumerate(prefix_samplers(settings))
    ]
    return jnp.stack(keeps, axis=-1) if len(keeps) > 1 else keeps[0]


def _reconstruction(settings, params, outputs, batch, key) -> Mean:
    pixel = PIXEL_LOSSES[settings.pixel]
    prediction, target = outputs.output.prediction, outputs.target
    error = pixel(prediction, target)
    if not settings.multiscale:
        return error
    coarse = multiscale(pixel, prediction, target)
    images = jnp.float32(math.prod(target.shape[:-3]))  # Of one size: means of them add up.
    return Mean(images * (error.value + settings.multiscale * coarse), images)


def _quantiser_term(name: str) -> Term:
    # Weighted by the quantiser; slots that are not kept count as zeros.
    return Term(name, lambda params, outputs, batch, key: Mean.of(outputs.output.losses[name]))


def _report(codebook_size, outputs, batch) -> Report:
    output, frames = outputs.output, to_float(batch["frames"])
    metrics = {
        "psnr": psnr(output.prediction, outputs.target),
        "copy_psnr": psnr(frames[:, :-1], frames[:, 1:]),
        "keep": Mean.of(outputs.keep),
        **{name: Mean(value, jnp.float32(1)) for name, value in output.stats.items()},
    }
    totals = {} if output.ids is None else {"code_counts": code_counts(output.ids, codebook_size)}
    return Report(metrics, totals)
