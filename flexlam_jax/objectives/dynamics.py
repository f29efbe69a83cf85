"""The objective of dynamics: the likelihood of hidden tokens of the next frames.

Tokens and latent actions are made inside the loss, on the device, by a frozen tokenizer and a frozen
latent action model; how many slots of an action are kept is drawn as that model's training drew it.

Dimension keys: B rows, T frames, N tokens of a frame, V codes, K slots, D slot width, A actions, or
dimensions of one.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import interval, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.models.bottleneck import null_fill, sample_keep
from flexlam_jax.models.drafts import draft_ids, shown_frames
from flexlam_jax.models.dynamics import Dynamics
from flexlam_jax.models.dynamics_settings import ActionSettings, clip_shapes
from flexlam_jax.models.flops import program_flops, with_plain_attention
from flexlam_jax.models.maskgit import training_mask
from flexlam_jax.objectives.frozen_lam import FrozenLam
from flexlam_jax.objectives.frozen_tokenizer import FrozenTokenizer
from flexlam_jax.objectives.objective import Batch, Mean, Objective
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name

MODEL = "dynamics"  # Where its parameters lie, beside those of the frozen models.
# Of a batch, where no frozen model makes them.
SLOTS, NULL, DRAFTS = "slots", "null", "drafts"


@dataclasses.dataclass(frozen=True)
class DynamicsLossSettings:
    """The `loss` section of a config."""

    mask: tuple[float, float] = setting(
        (0.5, 1.0),
        range=interval(real(0, 1)),
        help="share of the tokens that are hidden, drawn for each row; not in raster order",
    )


@dataclasses.dataclass(frozen=True)
class FrozenModels:
    """What makes tokens and latent actions of batch["frames"]; None where a plan has neither, or where
    latent actions are learned beside (cotraining.py): batch["ids"], batch["slots"] and batch["null"]
    stand for what they make."""

    tokenizer: FrozenTokenizer | None = None
    lam: FrozenLam | None = None


@flax.struct.dataclass
class DynamicsOutput:
    """Of the frames that are predicted, all but the first: logits float32 (B, T-1, N, V), ids int32
    and hidden bool (B, T-1, N), and the ids of the frames before them."""

    logits: jax.Array
    ids: jax.Array
    hidden: jax.Array
    before: jax.Array


def dynamics_objective(
    model: Dynamics,
    actions: Mapping[str, Any] | None = None,
    loss: Mapping[str, Any] | None = None,
    *,
    clip_length: int,
    dtype: str = "float32",
    frozen: FrozenModels = FrozenModels(),
) -> Objective:
    """Builds the Objective of `build_dynamics`'s model.

    It reads batch["frames"] uint8 (B, T, H, W, C), neighbours a transition of the latent action model
    apart; for true actions batch["action"] too, int32 (B, T-1), or float (B, T-1, A). Without frozen
    models, batch["ids"] int32 (B, T, N) and batch["slots"] float (B, T-1, K, D), whose null latent is
    batch["null"] float (D,), zeros where there is none; with drafts batch["drafts"] int32 (B, T-1, N).

    The loss is `cross_entropy`, nats per hidden token; in raster order every token is. Metrics
    (float32 scalars): accuracy, of the likeliest code; copy_accuracy, of the token at the same place
    of the frame before, which a prediction has to beat; perplexity, exp(cross_entropy).

    Args:
      actions: the `actions` section of the config.
      loss: the `loss` section.
      clip_length: frames T.
      dtype: name of the type that the model computes in.

    Raises:
      ConfigError: a key that is unknown or out of its range.
    """
    told = read("actions", actions, ActionSettings)
    settings = read("loss", loss, DynamicsLossSettings)
    return objective_of(
        functools.partial(_init, model, told, frozen),
        functools.partial(_apply, model, told, settings, frozen),
        [Term("cross_entropy", _cross_entropy)],
        report=_report,
        summary=_perplexity,
        flops_per_row=_row_flops(model, told, frozen, clip_length),
        transitions_per_row=clip_length - 1,
        dtype=dtype,
    )


def true_actions(actions: jax.Array, settings: ActionSettings) -> jax.Array:
    """True actions (B, T) or (B, T, A) as latent ones of a single slot, float32 (B, T, 1, A)."""
    if settings.discrete:
        actions = jax.nn.one_hot(actions, settings.slot_width)
    return actions.astype(jnp.float32)[..., None, :]


def _init(
    model: Dynamics, settings: ActionSettings, frozen: FrozenModels, key: jax.Array, batch: Batch
) -> dict[str, Any]:
    # Two frames of one row are enough to fix every shape.
    given = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), clip_shapes(model, settings, 2))
    whole: dict[str, Any] = {
        "params": {MODEL: model.init(fold_name(key, "params"), *given)["params"]}
    }
    for part in (frozen.tokenizer, frozen.lam):
        for collection, tree in part.init(key).items() if part else ():
            whole[collection] = {**whole.get(collection, {}), **tree}
    return whole


def _apply(
    model: Dynamics,
    settings: ActionSettings,
    loss: DynamicsLossSettings,
    frozen: FrozenModels,
    params: Any,
    extra: Any,
    batch: Batch,
    key: jax.Array,
) -> tuple[DynamicsOutput, Any]:
    ids = batch["ids"] if frozen.tokenizer is None else frozen.tokenizer.ids(params, extra, batch)
    if model.kind == "causal":
        hidden = jnp.ones(ids.shape, bool).at[:, 0].set(False)
    else:
        hidden = training_mask(fold_name(key, "mask"), ids.shape, *loss.mask)
    actions = _actions(model, settings, frozen.lam, params, extra, batch, fold_name(key, "keep"))
    drafts = _drafts(model, frozen, params, extra, batch, ids, actions)
    logits = model.apply({"params": params[MODEL]}, ids, hidden, actions, drafts)
    return DynamicsOutput(logits, ids[:, 1:], hidden[:, 1:], ids[:, :-1]), extra


def _actions(
    model: Dynamics,
    settings: ActionSettings,
    lam: FrozenLam | None,
    params: Any,
    extra: Any,
    batch: Batch,
    key: jax.Array,
) -> jax.Array | None:
    """What leads from frame to frame, (B, T-1, K, D), null-filled."""
    if model.action == "none":
        return None
    if model.action == "true":
        return true_actions(batch["action"], settings)
    if lam is None:
        slots = batch[SLOTS]
        keep = sample_keep(key, settings.keep, slots.shape[:2], slots=settings.slots)
        return null_fill(slots, keep, batch.get(NULL, jnp.zeros(settings.slot_width)))
    variables, frames = lam.variables(params, extra), batch["frames"]
    slots = lam.encode(variables, frames, frames.shape[1] - 1)
    keep = sample_keep(key, settings.keep, slots.shape[:2], slots=settings.slots)
    return lam.null_fill(variables, slots, keep)


def _drafts(
    model: Dynamics,
    frozen: FrozenModels,
    params: Any,
    extra: Any,
    batch: Batch,
    ids: jax.Array,
    actions: jax.Array | None,
) -> jax.Array | None:
    """Of every frame but the first, int32 (B, T-1, N)."""
    if not model.drafts:
        return None
    if frozen.tokenizer is None or frozen.lam is None:  # On paper.
        return batch[DRAFTS]
    lam, tokenizer = frozen.lam, frozen.tokenizer
    variables = tokenizer.variables(params, extra)
    before = shown_frames(tokenizer.model, variables, ids)[:, :-1]
    return draft_ids(
        tokenizer.model, variables, lam.model, lam.variables(params, extra), before, actions
    )


def _row_flops(
    model: Dynamics, settings: ActionSettings, frozen: FrozenModels, frames: int
) -> float:
    """FLOPs of an update for one row: frozen models are run, and have no gradient."""
    plain = with_plain_attention(model)
    given = clip_shapes(plain, settings, frames)
    variables = jax.eval_shape(plain.init, jax.random.key(0), *given)
    total = 3 * program_flops(plain.apply, variables, *given)
    if frozen.tokenizer:
        total += frozen.tokenizer.flops(frames)
    if frozen.lam:
        total += frozen.lam.flops(frames - 1, 0, 0)
    if frozen.tokenizer and frozen.lam and model.drafts:
        ids, _, actions, _ = clip_shapes(model, settings, frames)
        total += _draft_flops(frozen.tokenizer, frozen.lam, ids, actions)
    return total


def _draft_flops(tokenizer: FrozenTokenizer, lam: FrozenLam, ids: Any, actions: Any) -> float:
    """FLOPs of the drafts of one row."""
    (made_by, given), (decoder, its) = tokenizer.on_paper(), lam.on_paper()

    def drafts(given: Any, its: Any, ids: jax.Array, actions: jax.Array) -> jax.Array:
        before = shown_frames(made_by.model, given, ids)[:, :-1]
        return draft_ids(made_by.model, given, decoder.model, its, before, actions)

    return program_flops(drafts, given, its, ids, actions)


def _of_token(output: DynamicsOutput) -> jax.Array:
    """The logit of every token, float32 (B, T-1, N)."""
    return jnp.take_along_axis(output.logits, output.ids[..., None], axis=-1)[..., 0]


def _nats(output: DynamicsOutput) -> jax.Array:
    """-log p of every token, float32 (B, T-1, N)."""
    return jax.nn.logsumexp(output.logits, axis=-1) - _of_token(output)


def _cross_entropy(params: Any, output: DynamicsOutput, batch: Batch, key: jax.Array) -> Mean:
    return Mean.of(_nats(output), output.hidden)


def _report(output: DynamicsOutput, batch: Batch) -> Report:
    nats = Mean.of(_nats(output), output.hidden)
    right = _of_token(output) >= output.logits.max(-1)  # On CPUs cheaper than where the maximum is.
    return Report(
        {
            "accuracy": Mean.of(right, output.hidden),
            "copy_accuracy": Mean.of(output.before == output.ids, output.hidden),
        },
        {"nats": nats.sum, "hidden": nats.weight},
    )


def _perplexity(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {"perplexity": jnp.exp(totals["nats"] / jnp.maximum(totals["hidden"], 1))}
