"""Fine-tuning of a latent action model together with the translator that reads it.

The model learns from all video as ever, and from few labelled transitions: the translator reads
the null-filled prefix of a sampled length, and the gradient of its action loss passes the prefix
and the quantiser to the encoder. The same for FlexLAM and Fixed-K, which differ in the lengths that
are sampled.

Dimension keys: B batch, T frames of a clip, K slots, D slot width, A actions.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flexlam_jax.config.ranges import COUNT, SWITCH, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.models.bottleneck import sample_keep
from flexlam_jax.models.lam import LatentActionModel, resolve_config
from flexlam_jax.models.translator import Translator, prefix_features
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.random import fold_name

MODEL = "lam"  # Its parameters, and what other collections have of it, lie under this name.
TERM = "action"
VIDEO, LABELLED = "video", "labelled"  # the streams of a batch


@dataclasses.dataclass(frozen=True)
class TranslatorSettings:
    """The `translator` section of a config."""

    outputs: int = setting(
        None, range=COUNT, help="actions to tell apart, or dimensions of an action", required=True
    )
    discrete: bool = setting(True, range=SWITCH, help="actions are classes, not vectors")
    hidden: int = setting(64, range=COUNT, help="units of its hidden layer")
    coefficient: float = setting(
        0.01, range=real(0), help="of the action loss beside the reconstruction"
    )


def finetune_objective(
    lam: Objective,
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    translator_config: Mapping[str, Any],
    *,
    clip_length: int = 2,
) -> Objective:
    """The objective of a LAM on one stream and of a translator on another.

    Args:
      lam: `lam_objective` of the model, for the stream of video.
      model: from build_lam(model_config).
      translator_config: see `TranslatorSettings`.
      clip_length: frames of a row of video; a labelled row has two.

    Returns:
      Objective whose loss reads batch["video"] = {"frames": uint8 (B, T, H, W, C)} and
      batch["labelled"] = {"frames": uint8 (B, 2, H, W, C), "action": int32 (B, 1) or float32
      (B, 1, A)}. Metrics: those of `lam`, `action` (cross-entropy, or squared error) and, of
      classes, `action_accuracy`. Parameters: "lam", and the translator's under "heads/action".

    Raises:
      ConfigError: a wrong key or value.
    """
    settings = resolve_config(model_config)
    head = read("translator", translator_config, TranslatorSettings)
    translator = Translator(head.outputs, head.hidden)

    def init(key: jax.Array, batch: Batch) -> Variables:
        variables = lam.init(key, batch[VIDEO])
        features = jnp.zeros((1, settings["slots"] * model.quantizer.width))
        fresh = translator.init(fold_name(key, f"head {TERM}"), features)["params"]
        nested = {collection: {MODEL: tree} for collection, tree in variables.items()}
        return {**nested, "params": {**nested["params"], "heads": {TERM: fresh}}}

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        own = {collection: tree[MODEL] for collection, tree in extra.items()}
        video = lam.outcome(params[MODEL], own, batch[VIDEO], key)
        outputs = _read_actions(params, own, batch[LABELLED]["frames"], fold_name(key, TERM))
        action = batch[LABELLED]["action"]
        metrics = dict(video.metrics)
        if head.discrete:
            error = optax.softmax_cross_entropy_with_integer_labels(outputs, action)
            metrics["action_accuracy"] = Mean.of(outputs.argmax(-1) == action)
        else:
            error = jnp.square(outputs - action).mean(-1)
        return Outcome(
            {**video.terms, TERM: Mean.of(error)},
            metrics,
            video.totals,
            {collection: {MODEL: tree} for collection, tree in video.extra.items()},
        )

    def _read_actions(params, own, frames, key) -> jax.Array:
        """Frames (B, 2, H, W, C) -> outputs (B, 1, A) of the translator at a sampled length."""
        variables = {"params": params[MODEL], **own}
        slots, _ = model.apply(variables, frames, method="encode")
        keep = sample_keep(key, settings["keep"], slots.shape[:-2], slots=settings["slots"])
        features = prefix_features(model.apply(variables, slots, keep, method="null_fill"))
        statistics = identity_statistics(features.shape[-1], head.outputs)
        return translator.apply(
            {"params": params["heads"][TERM], "statistics": statistics}, features
        )

    return dataclasses.replace(
        lam,
        init=init,
        outcome=outcome,
        coefficients={**lam.coefficients, TERM: head.coefficient},
        flops_per_row=None,
        transitions_per_row={VIDEO: clip_length - 1, LABELLED: 1},
    )


def identity_statistics(features: int, outputs: int) -> dict[str, jax.Array]:
    """The translator's "statistics" that change nothing."""
    return {
        "mean": jnp.zeros(features),
        "scale": jnp.ones(features),
        "target_mean": jnp.zeros(outputs),
        "target_scale": jnp.ones(outputs),
    }
