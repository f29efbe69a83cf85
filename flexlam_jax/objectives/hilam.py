"""The objective of HiLAM (arXiv 2603.05815): the next latent action, what a frozen decoder makes of
it, and as many chunks as asked for.

Dimension keys: B rows, T steps, K slots, D their width, F numbers of a latent action, N frames of a
row, n steps that are decoded; of a stage: T' positions, M chunks.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, one_of, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.models import chunking
from flexlam_jax.models.chunk_stage import StageOutput
from flexlam_jax.models.flops import program_flops
from flexlam_jax.models.hilam import HiLam, HiLamOutput, raw_latents
from flexlam_jax.objectives.frozen_lam import MODEL, FrozenLam, NextFrames
from flexlam_jax.objectives.objective import Batch, Mean, Objective
from flexlam_jax.objectives.reconstruction import PIXEL_LOSSES
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name

_LONGEST = 64  # Lengths of chunks are told up to here.
_UNDECIDED = 0.1  # Probabilities as near to 1/2 as this.
_NOTHING_MERGED = 0.9  # Share of positions that begin a chunk.


@dataclasses.dataclass(frozen=True)
class HiLamLossSettings:
    """The `loss` section of a config."""

    ratio: float = setting(0.03, range=real(0), help="weight of the ratio loss of every stage")
    ratio_over: str = setting(
        "sequence",
        range=one_of(("sequence", "batch")),
        help="share of boundaries that the ratio loss looks at; that of a batch cannot be "
        "accumulated",
    )
    reconstruction: float = setting(
        0.0,
        range=real(0),
        help="weight of the next frame that the decoder of lam.checkpoint makes of the predicted "
        "latent action; 0 reads no frames for it",
    )
    reconstruction_steps: int = setting(
        4, range=COUNT, help="steps of a sequence that are decoded, drawn anew in every update"
    )
    pixel: str = setting(
        "mse", range=one_of(tuple(PIXEL_LOSSES)), help="loss of a pixel of these frames"
    )


@flax.struct.dataclass
class WithFrames(HiLamOutput):
    """The model's output, and the frames that its predictions became."""

    next_frames: NextFrames


@dataclasses.dataclass(frozen=True)
class LatentSource:
    """Where a batch has its latent actions, and which frozen model helps.

    Attributes:
      column: of the sidecar; "" for frames that `lam` encodes inside the loss.
      lam: needed for that, and for the reconstruction term.
    """

    column: str = "slots"
    lam: FrozenLam | None = None


def hilam_objective(
    model: HiLam,
    targets: Sequence[float],
    loss: Mapping[str, Any] | None = None,
    *,
    length: int,
    dtype: str = "float32",
    source: LatentSource = LatentSource(),
) -> Objective:
    """Builds the Objective of `build_hilam`'s model.

    It reads batch["<column>_chunk"] float (B, T, K, D) or (B, T, F), whose first numbers are the
    latent actions, and batch["<column>_chunk_mask"] bool (B, T), padding at the end; where they are
    encoded or frames are reconstructed, batch["frame_chunk"] uint8 (B, N, H, W, C), N = T + gap, and
    batch["frame_chunk_mask"] bool (B, N).

    The loss is `latent`, the L1 distance per number of the predicted and the true next latent action,
    normalised as the model reads them, plus `ratio_<s>` of every stage s = 1, 2, ... Rows count in
    the latter by their valid steps, which do not depend on the model. With `loss.reconstruction`,
    `reconstruction`: at n steps t of each row drawn by the key, the frozen decoder turns o_{t+1} and
    the latent action expected at t + 1 into a frame, which is compared with o_{t+1+gap}.

    Metrics (float32 scalars): `copied_latent`, the L1 distance of always predicting the last latent
    action, and worse_than_copying, 1 where it wins. Of every stage, in positions of that stage:
    boundary_rate_<s>, of cuts; undecided_<s>, the share of probabilities within 0.1 of 1/2;
    dropped_<s>, the share of boundaries that were merged or over capacity; one_step_<s>, the share
    of chunks of one position; median_length_<s> and long_length_<s>, that 90 % of chunks do not
    exceed, both at most 64; and in steps steps_per_chunk_<s>. degenerate_<s> is 1 where nearly
    every position begins a chunk, or none but the first of a row.

    Args:
      targets: positions per chunk of every stage.
      loss: the `loss` section.
      length: steps T.
      dtype: name of the type that the model computes in.
      source: of the latent actions.

    Raises:
      ConfigError: a loss key that is unknown or out of its range, or a target of 1 or less.
    """
    settings, lam = read("loss", loss, HiLamLossSettings), source.lam
    return objective_of(
        functools.partial(_init, model, lam),
        functools.partial(_apply, model, source, settings, length),
        _terms(settings, targets),
        report=_report,
        summary=_summary,
        flops_per_row=_row_flops(model, lam, source, settings, length) if lam else None,
        transitions_per_row=length,
        dtype=dtype,
    )


def _terms(settings: HiLamLossSettings, targets: Sequence[float]) -> list[Term]:
    for target in targets:
        chunking.check_target(target)
    whole = settings.ratio_over == "batch"
    ratios = [
        Term(
            f"ratio_{stage + 1}",
            functools.partial(_ratio_of_batch if whole else _ratio, stage, target),
            coefficient=settings.ratio,
            splittable=not whole,
        )
        for stage, target in enumerate(targets)
    ]
    reconstruction = Term(
        "reconstruction",
        functools.partial(_reconstruction, settings.pixel),
        coefficient=settings.reconstruction,
    )
    return [
        Term("latent", _latent),
        *ratios,
        *([reconstruction] if settings.reconstruction else []),
    ]


def _init(model: HiLam, lam: FrozenLam | None, key: jax.Array, batch: Batch) -> dict[str, Any]:
    # Two steps of one row are enough to fix every shape.
    latents, valid = jnp.zeros((1, 2, model.size)), jnp.ones((1, 2), bool)
    variables = dict(model.init(fold_name(key, "params"), latents, valid))
    if lam is None:
        return variables
    frozen = lam.init(key)
    return {**frozen, "params": {**variables["params"], **frozen["params"]}}


def _apply(
    model: HiLam,
    source: LatentSource,
    settings: HiLamLossSettings,
    length: int,
    params: Any,
    extra: Any,
    batch: Batch,
    key: jax.Array,
) -> tuple[HiLamOutput, Any]:
    own, lam = {name: part for name, part in params.items() if name != MODEL}, source.lam
    frozen = lam.variables(params, extra) if lam else {}
    if source.column:
        latents, valid = batch[f"{source.column}_chunk"], batch[f"{source.column}_chunk_mask"]
    else:
        latents = lam.encode(frozen, batch["frame_chunk"], length)
        valid = batch["frame_chunk_mask"][:, lam.gap :]
    latents = latents.reshape(*latents.shape[:2], -1)[..., : model.size]
    output = model.apply({"params": own}, latents, valid)
    if lam is None or not settings.reconstruction:
        return output, extra
    decoded = lam.next_frames(
        frozen,
        raw_latents(model, output.prediction),
        valid,
        batch["frame_chunk"],
        settings.reconstruction_steps,
        fold_name(key, "reconstruction"),
    )
    held = (output.latents, output.prediction, output.stages)
    return WithFrames(*held, next_frames=decoded), extra


def _row_flops(
    model: HiLam, lam: FrozenLam, source: LatentSource, settings: HiLamLossSettings, length: int
) -> float:
    """FLOPs of an update for one row: no parameter of the frozen model has a gradient."""
    latents = jax.ShapeDtypeStruct((1, length, model.size), jnp.float32)
    valid = jax.ShapeDtypeStruct((1, length), jnp.bool_)
    variables = jax.eval_shape(model.init, jax.random.key(0), latents, valid)
    skills = program_flops(lambda *given: model.apply(*given).prediction, variables, latents, valid)
    decoded = min(settings.reconstruction_steps, length - 1) if settings.reconstruction else 0
    return 3 * skills + lam.flops(0 if source.column else length, decoded, model.size)


def _reconstruction(
    pixel: str, params: Any, output: WithFrames, batch: Batch, key: jax.Array
) -> Mean:
    frames = output.next_frames
    return PIXEL_LOSSES[pixel](frames.prediction, frames.target, frames.held[..., None, None, None])


def _errors(output: HiLamOutput, guess: jax.Array) -> Mean:
    """L1 of guesses (B, T-1, F) at the latent actions after the first."""
    valid = output.stages[0].valid
    pairs = (valid[:, 1:] & valid[:, :-1])[..., None]
    return Mean.of(jnp.abs(guess - output.latents[:, 1:]), pairs)


def _latent(params: Any, output: HiLamOutput, batch: Batch, key: jax.Array) -> Mean:
    return _errors(output, output.prediction[:, :-1])


def _ratio(
    stage: int, target: float, params: Any, output: HiLamOutput, batch: Batch, key: jax.Array
) -> Mean:
    told = output.stages[stage]
    steps = output.stages[0].valid.sum(axis=1).astype(jnp.float32)
    # One step is a boundary whatever the model says.
    steps = jnp.where(steps > 1, steps, 0.0)
    losses = chunking.ratio_losses(told.probability, told.boundary, told.valid, target)
    return Mean(jnp.sum(losses * steps), jnp.sum(steps))


def _ratio_of_batch(
    stage: int, target: float, params: Any, output: HiLamOutput, batch: Batch, key: jax.Array
) -> Mean:
    told = output.stages[stage]
    loss = chunking.ratio_loss(told.probability, told.boundary, told.valid, target)
    return Mean(loss, jnp.float32(1))


def chunk_lengths(stage: StageOutput) -> jax.Array:
    """Positions of every chunk, int32 (B, M); 0 in padding."""
    position, valid = stage.chunks.position, stage.chunks.valid
    end = stage.valid.sum(axis=1, keepdims=True)
    after = jnp.concatenate([position[:, 1:], jnp.zeros_like(position[:, :1])], axis=1)
    followed = jnp.concatenate([valid[:, 1:], jnp.zeros_like(valid[:, :1])], axis=1)
    return jnp.where(valid, jnp.where(followed, after, end) - position, 0)


def _report(output: HiLamOutput, batch: Batch) -> Report:
    copied = _errors(output, output.latents[:, :-1])
    predicted = _errors(output, output.prediction[:, :-1])
    metrics = {"copied_latent": copied}
    totals = {"errors": jnp.stack([predicted.sum, copied.sum])}
    steps = output.stages[0].valid.sum(dtype=jnp.float32)
    for number, stage in enumerate(output.stages, 1):
        lengths = chunk_lengths(stage)
        chunks = stage.chunks.valid.sum(dtype=jnp.float32)
        undecided = jnp.abs(stage.probability - 0.5) < _UNDECIDED
        metrics |= {
            f"boundary_rate_{number}": Mean.of(stage.cut, stage.valid),
            f"undecided_{number}": Mean.of(undecided, stage.valid),
            f"dropped_{number}": Mean.of(~stage.cut, stage.boundary),
            f"one_step_{number}": Mean.of(lengths == 1, stage.chunks.valid),
            f"steps_per_chunk_{number}": Mean(steps, chunks),
        }
        held = jnp.clip(lengths.reshape(-1), 0, _LONGEST)
        totals[f"lengths_{number}"] = jnp.bincount(held, length=_LONGEST + 1)[1:].astype(
            jnp.float32
        )
        totals[f"held_{number}"] = jnp.stack(
            [stage.valid.sum(), stage.valid.any(axis=1).sum()]
        ).astype(jnp.float32)
    return Report(metrics, totals)


def _summary(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    predicted, copied = totals["errors"]
    found = {"worse_than_copying": (predicted >= copied).astype(jnp.float32)}
    stages = sum(name.startswith("lengths_") for name in totals)
    for number in range(1, stages + 1):
        lengths = totals[f"lengths_{number}"]
        positions, rows = totals[f"held_{number}"]
        chunks = lengths.sum()
        degenerate = (chunks > _NOTHING_MERGED * positions) | (chunks <= rows)
        found |= {
            f"median_length_{number}": _quantile(lengths, 0.5),
            f"long_length_{number}": _quantile(lengths, 0.9),
            f"degenerate_{number}": degenerate.astype(jnp.float32),
        }
    return found


def _quantile(counts: jax.Array, share: float) -> jax.Array:
    """The least length that at least this share of chunks does not exceed; counts[i] have i + 1."""
    reached = jnp.cumsum(counts) >= share * counts.sum()
    return jnp.argmax(reached).astype(jnp.float32) + 1
