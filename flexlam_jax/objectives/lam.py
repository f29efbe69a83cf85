"""The objective of a latent action model: o_{t+1} from o_t and a random prefix of the slots."""

import dataclasses
import functools
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
from flexlam_jax.models.heads import HEAD_STATE
from flexlam_jax.models.lam import LamOutput, LatentActionModel, frame_shape, resolve_config
from flexlam_jax.models.motion_head import MotionHead
from flexlam_jax.objectives.code_usage import code_counts, usage_metrics
from flexlam_jax.objectives.gain import gain_term
from flexlam_jax.objectives.motion import motion_term
from flexlam_jax.objectives.objective import Mean, Objective
from flexlam_jax.objectives.reconstruction import PIXEL_LOSSES, psnr
from flexlam_jax.objectives.remedies.batches import SHOWN, with_remedies
from flexlam_jax.objectives.remedies.features import feature_terms
from flexlam_jax.objectives.remedies.order import longer_than, passing, within_first
from flexlam_jax.objectives.remedies.partners import partners
from flexlam_jax.objectives.remedies.pixels import cross_psnr, cross_term, pixel_loss, pixel_weights
from flexlam_jax.objectives.remedies.settings import (
    LONGER,
    STOPPED,
    RemedySettings,
    check_remedies,
)
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class LossSettings(RemedySettings):
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
    (B, T-1, H, W, C); with P > 1 prefixes of each code (B, T-1, P) and (B, T-1, P, H, W, C).

    And, without P: the frames that the decoder was given and was to predict, o_t and next_frames
    (B, T-1, H, W, C); the slots (B, T-1, K, D) with all of their gradient, which `output.slots`
    passes as far as own frames may; with partners, what this row's codes make of the partner's o_t,
    (B, T-1, H, W, C); and the collection HEAD_STATE, where there is one."""

    output: LamOutput
    keep: jax.Array
    target: jax.Array
    o_t: jax.Array | None = None
    next_frames: jax.Array | None = None
    slots: jax.Array | None = None
    cross: jax.Array | None = None
    head_state: Any = None


def lam_objective(
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    loss_config: Mapping[str, Any] | None = None,
    *,
    clip_length: int = 2,
    terms: Sequence[Term] = (),
    first_slots: int = 0,
    inverse: bool = False,
) -> Objective:
    """Builds the Objective of a LAM.

    Args:
      model: from build_lam(model_config).
      model_config: the `model` section of the config.
      loss_config: the `loss` section, see LossSettings.
      clip_length: frames per batch row, for FLOPs and transitions per row.
      terms: further terms of the loss; their `outputs` are `LamResult`s.
      first_slots: those that something outside this objective trains; see `loss.own`.
      inverse: something outside trains the feature space "inverse".

    Returns:
      Objective whose loss reads batch["frames"] uint8 (B, T, H, W, C), encodes each transition once
      and decodes `model.prefixes` prefixes of it, drawn apart; the loss is their mean.
      Metrics (float32 scalars): loss, reconstruction, psnr, copy_psnr (prediction := o_t), the
      quantiser's losses and stats, and for discrete codes code_usage and code_perplexity.
      Remedies read more of the batch: frames_pair, frames_<mask>, columns.

    Raises:
      ConfigError: unknown loss key or pixel loss, or remedies that contradict each other; from
        `init`, a batch without what they read.
    """
    settings = resolve_config(model_config)
    loss_settings = read("loss", loss_config, LossSettings)
    first = check_remedies(loss_settings, settings["slots"], first_slots, inverse=inverse)
    crossed = loss_settings.cross_slots or settings["slots"]

    def init(rng: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, Any]:
        channels = batch["frames"].shape[-1]
        if channels != settings["channels"]:
            raise ConfigError(
                f"model.channels={settings['channels']} but the data has frames of {channels}"
            )
        # Two frames of one row are enough to fix every shape.
        return dict(model.init(fold_name(rng, "params"), batch["frames"][:1, :2]))

    def apply(params, extra, batch, rng):
        state, extra = extra.get(HEAD_STATE), {k: v for k, v in extra.items() if k != HEAD_STATE}
        shown = to_float(batch.get(SHOWN, batch["frames"]))
        shape = (shown.shape[0], shown.shape[1] - 1)
        keep = _draw_prefixes(rng, settings, shape)
        if first and loss_settings.own == LONGER:
            keep = longer_than(keep, first, settings["slots"])
        cross_keep = None
        if loss_settings.cross:
            sampler = within_first(settings["keep"], settings["slots"], crossed)
            cross_keep = sample_keep(fold_name(rng, "cross_keep"), sampler, shape, slots=crossed)
        (output, slots, cross), extra = model.apply(
            {"params": params, **extra},
            batch["frames"],
            shown[:, :-1],
            keep,
            cross_keep,
            rngs={name: fold_name(rng, name) for name in ("sample", "revive")},
            mutable=list(extra),
            method=forward,
        )
        target = shown[:, 1:]
        if keep.ndim == 3:
            target = jnp.broadcast_to(target[:, :, None], output.prediction.shape)
        result = LamResult(
            output, keep, target, shown[:, :-1], shown[:, 1:], slots, cross, head_state=state
        )
        return result, extra if state is None else {**extra, HEAD_STATE: state}

    def forward(module, frames, o_t, keep, cross_keep):
        """(LamOutput; slots with all their gradient; what they make of the partner's o_t)."""
        quantized = module.quantise(frames, train=True)
        slots = quantized.values
        stopped = first if loss_settings.own == STOPPED else 0
        own = quantized.replace(values=passing(slots, stopped, loss_settings.pixels))
        output = module.reconstruct(o_t, own, keep)
        if cross_keep is None:
            return output, slots, None
        return output, slots, module.decode(partners(o_t), module.null_fill(slots, cross_keep))

    def summary(totals):
        return usage_metrics(totals["code_counts"]) if totals else {}

    # What decodes more than the formula counts is counted on the traced program.
    clip = (clip_length, *frame_shape(settings))
    more = loss_settings.cross or loss_settings.feature
    flops = None if more else training_flops(model, clip, prefixes=settings["prefixes"])
    objective = objective_of(
        init,
        apply,
        [
            Term("reconstruction", functools.partial(_reconstruction, loss_settings)),
            *(_quantiser_term(name) for name in model.quantizer.loss_names),
            *([motion_term(MotionHead(), loss_settings.motion)] if loss_settings.motion else []),
            *([gain_term(GainHead())] if loss_settings.gain else []),
            *([cross_term(loss_settings)] if loss_settings.cross else []),
            *feature_terms(loss_settings),
            *terms,
        ],
        report=functools.partial(_report, model.quantizer.codebook_size),
        summary=summary,
        flops_per_row=flops,
        transitions_per_row=(clip_length - 1) * (2 if loss_settings.cross else 1),
        dtype=settings["dtype"],
    )
    return with_remedies(objective, loss_settings)


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
    weight = pixel_weights(settings, batch)
    if weight is not None and outputs.keep.ndim == 3:
        weight = weight[:, :, None]
    return pixel_loss(settings, outputs.output.prediction, outputs.target, weight)


def _quantiser_term(name: str) -> Term:
    # Weighted by the quantiser; slots that are not kept count as zeros.
    return Term(name, lambda params, outputs, batch, key: Mean.of(outputs.output.losses[name]))


def _report(codebook_size, outputs, batch) -> Report:
    output = outputs.output
    metrics = {
        "psnr": psnr(output.prediction, outputs.target),
        "copy_psnr": psnr(outputs.o_t, outputs.next_frames),
        "keep": Mean.of(outputs.keep),
        **{name: Mean(value, jnp.float32(1)) for name, value in output.stats.items()},
    }
    if outputs.cross is not None:
        metrics["cross_psnr"] = cross_psnr(outputs)
    totals = {} if output.ids is None else {"code_counts": code_counts(output.ids, codebook_size)}
    return Report(metrics, totals)
