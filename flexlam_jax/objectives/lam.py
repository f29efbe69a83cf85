"""The objective of a latent action model: o_{t+1} from o_t and a random prefix of the slots."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
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
from flexlam_jax.models.flow_decoder import NOT_FINITE, PREDICTED
from flexlam_jax.models.flow_decoder import STREAM as FLOW
from flexlam_jax.models.gain_head import GainHead
from flexlam_jax.models.heads import HEAD_STATE
from flexlam_jax.models.lam import LamOutput, LatentActionModel, frame_shape, resolve_config
from flexlam_jax.models.motion_head import MotionHead
from flexlam_jax.objectives.code_usage import code_counts, usage_metrics
from flexlam_jax.objectives.gain import gain_term
from flexlam_jax.objectives.motion import motion_term
from flexlam_jax.objectives.objective import Batch, Mean, Objective
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
    share: Callable[[LamResult], Any] = lambda outputs: None,
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
      share: see `objective_of`.

    Returns:
      Objective whose loss reads batch["frames"] uint8 (B, T, H, W, C), encodes each transition once
      and decodes `model.prefixes` prefixes of it, drawn apart; the loss is their mean.
      Metrics (float32 scalars): loss, reconstruction, psnr (of a flow the error of its velocity
      instead of both), copy_psnr (prediction := o_t), the
      quantiser's losses and stats, and for discrete codes code_usage and code_perplexity.
      Remedies read more of the batch: frames_pair, frames_<mask>, columns.

    Raises:
      ConfigError: unknown loss key or pixel loss, or remedies that contradict each other; from
        `init`, a batch without what they read.
    """
    settings = resolve_config(model_config)
    loss_settings = read("loss", loss_config, LossSettings)
    first = check_remedies(loss_settings, settings["slots"], first_slots, inverse=inverse)
    if model.learns_flow:
        check_flow(loss_settings)
    # What decodes more than the formula counts is counted on the traced program.
    clip = (clip_length, *frame_shape(settings))
    more = loss_settings.cross or loss_settings.feature or model.learns_flow
    flops = None if more else training_flops(model, clip, prefixes=settings["prefixes"])
    objective = objective_of(
        functools.partial(_init, model, settings["channels"]),
        functools.partial(_apply, model, settings, loss_settings, first),
        [*_terms(model, loss_settings), *terms],
        report=functools.partial(_report, model.quantizer.codebook_size),
        share=share,
        summary=_summary,
        flops_per_row=flops,
        transitions_per_row=(clip_length - 1) * (2 if loss_settings.cross else 1),
        advice={PREDICTED: NOT_FINITE} if model.learns_flow else {},
        dtype=settings["dtype"],
    )
    return with_remedies(objective, loss_settings)


def check_flow(loss: LossSettings) -> None:
    """Raises ConfigError for parts of the loss that read predicted pixels, of which a flow has none."""
    plain = LossSettings()
    pixels = [f.name for f in dataclasses.fields(LossSettings) if f.name != "motion"]
    changed = [key for key in pixels if getattr(loss, key) != getattr(plain, key)]
    if changed:
        raise ConfigError(
            f"{', '.join(f'config.loss.{key}' for key in changed)}: with "
            "config.model.decoder.kind='flow' training predicts velocities of noised pictures, not "
            "pixels; leave these at their defaults, or take another decoder"
        )


def _init(model, channels, rng, batch: Batch) -> dict[str, Any]:
    if batch["frames"].shape[-1] != channels:
        raise ConfigError(
            f"model.channels={channels} but the data has frames of {batch['frames'].shape[-1]}"
        )
    # Two frames of one row are enough to fix every shape.
    return dict(model.init(fold_name(rng, "params"), batch["frames"][:1, :2]))


def _apply(model, settings, loss, first, params, extra, batch: Batch, rng):
    """(LamResult, extra of the model alone); `first` slots are those that own frames treat apart."""
    model_extra = {name: tree for name, tree in extra.items() if name != HEAD_STATE}
    shown = to_float(batch.get(SHOWN, batch["frames"]))
    o_t, next_frames = shown[:, :-1], shown[:, 1:]
    keep = _draw_prefixes(rng, settings, o_t.shape[:2])
    if first and loss.own == LONGER:
        keep = longer_than(keep, first, settings["slots"])
    (output, slots, cross), model_extra = model.apply(
        {"params": params, **model_extra},
        batch["frames"],
        (o_t, next_frames),
        keep,
        _draw_cross_prefixes(rng, settings, loss, o_t.shape[:2]),
        functools.partial(passing, first=first if loss.own == STOPPED else 0, share=loss.pixels),
        rngs={name: fold_name(rng, name) for name in ("sample", "revive", FLOW)},
        mutable=list(model_extra),
        method=_forward,
    )
    target = next_frames
    if keep.ndim == 3:
        target = jnp.broadcast_to(target[:, :, None], (*keep.shape, *target.shape[2:]))
    state = extra.get(HEAD_STATE)
    return LamResult(output, keep, target, o_t, next_frames, slots, cross, state), model_extra


def _forward(module, frames, shown, keep, cross_keep, passed):
    """(LamOutput; slots with all their gradient; what they make of the partner's o_t, or None).

    shown: the o_t that is decoded from, and what is to come of it.
    passed: what own frames read of the slots.
    """
    o_t, next_frames = shown
    quantized = module.quantise(frames, train=True)
    slots = quantized.values
    sent = quantized.replace(values=passed(slots))
    output = module.reconstruct(o_t, sent, keep, next_frames)
    if cross_keep is None:
        return output, slots, None
    return output, slots, module.decode(partners(o_t), module.null_fill(slots, cross_keep))


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


def _draw_cross_prefixes(rng, settings, loss, shape: tuple[int, int]) -> jax.Array | None:
    """How many slots the partner's frame is decoded from, int32 (B, T-1); None without partners."""
    if not loss.cross:
        return None
    most = loss.cross_slots or settings["slots"]
    sampler = within_first(settings["keep"], settings["slots"], most)
    return sample_keep(fold_name(rng, "cross_keep"), sampler, shape, slots=most)


def _terms(model: LatentActionModel, loss: LossSettings) -> list[Term]:
    """Those that the `loss` section asks for, and the quantiser's."""
    learnt = functools.partial(_reconstruction, loss)
    return [
        Term("velocity", _velocity) if model.learns_flow else Term("reconstruction", learnt),
        *(_quantiser_term(name) for name in model.quantizer.loss_names),
        *([motion_term(MotionHead(), loss.motion)] if loss.motion else []),
        *([gain_term(GainHead())] if loss.gain else []),
        *([cross_term(loss)] if loss.cross else []),
        *feature_terms(loss),
    ]


def _reconstruction(settings, params, outputs, batch, key) -> Mean:
    weight = pixel_weights(settings, batch)
    if weight is not None and outputs.keep.ndim == 3:
        weight = weight[:, :, None]
    return pixel_loss(settings, outputs.output.prediction, outputs.target, weight)


def _velocity(params, outputs, batch, key) -> Mean:
    return Mean.of(outputs.output.error)


def _quantiser_term(name: str) -> Term:
    # Weighted by the quantiser; slots that are not kept count as zeros.
    return Term(name, lambda params, outputs, batch, key: Mean.of(outputs.output.losses[name]))


def _report(codebook_size, outputs, batch) -> Report:
    output = outputs.output
    metrics = {
        **({} if output.prediction is None else {"psnr": psnr(output.prediction, outputs.target)}),
        "copy_psnr": psnr(outputs.o_t, outputs.next_frames),
        "keep": Mean.of(outputs.keep),
        **{name: Mean(value, jnp.float32(1)) for name, value in output.stats.items()},
    }
    if outputs.cross is not None:
        metrics["cross_psnr"] = cross_psnr(outputs)
    totals = {} if output.ids is None else {"code_counts": code_counts(output.ids, codebook_size)}
    return Report(metrics, totals)


def _summary(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return usage_metrics(totals["code_counts"]) if totals else {}
