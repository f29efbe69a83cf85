"""A latent action model together with the translator that reads it: action supervision.

The model learns from all video as ever, and from few labelled transitions: the translator reads
the null-filled prefix of a sampled length, and the gradient of its action loss passes the prefix
and the quantiser to the encoder. The same for FlexLAM and Fixed-K, which differ in the lengths that
are sampled.

From a trained model it is fine-tuning; from scratch it is the remedy of arXiv 2506.15691 (Prop. 4.4)
and LAOM (2502.00379). In the linear case, where noise has variance s_w^2 and actions s_a^2 at scale
c, actions win a slot iff coefficient > (s_w^2 / s_a^2 - c^2) / N, N numbers of a frame. With
`slots` = j only prefixes of at most j slots are supervised, and with `loss.own` the rest of the loss
leaves those alone.

Dimension keys: B batch, T frames of a clip, K slots, D slot width, A actions, N steps.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, SWITCH, real, whole
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.bottleneck import sample_keep
from flexlam_jax.models.heads import HEADS
from flexlam_jax.models.lam import LatentActionModel, resolve_config
from flexlam_jax.models.translator import Translator, prefix_features
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.objectives.remedies import inverse_dynamics
from flexlam_jax.objectives.remedies.features import ENCODER, FEATURE
from flexlam_jax.objectives.remedies.inverse_dynamics import InverseDynamics
from flexlam_jax.objectives.remedies.order import within_first
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
    slots: int = setting(
        0, range=COUNT_OR_NONE, help="first slots that actions supervise, 0 for all"
    )
    steps: int = setting(
        0,
        range=whole(0, 1000),
        help="most steps between frames that tell actions apart, to learn the feature space "
        "'inverse' of the loss; 0 for none",
    )
    steps_coefficient: float = setting(1.0, range=real(0), help="of that loss")
    bottleneck: float = setting(
        0.01, range=real(0), help="what a nat of these features costs in that loss"
    )


def supervision(translator_config: Mapping[str, Any]) -> dict[str, Any]:
    """What `lam_objective` is told of the labels beside it: its `first_slots` and `inverse`."""
    head = read("translator", translator_config, TranslatorSettings)
    return {"first_slots": head.slots, "inverse": head.steps > 0}


def finetune_objective(
    lam: Objective,
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    translator_config: Mapping[str, Any],
    *,
    feature_width: int = 64,
) -> Objective:
    """The objective of a LAM on one stream and of a translator on another.

    Args:
      lam: `lam_objective` of the model, for the stream of video; told by `supervision`.
      model: from build_lam(model_config).
      translator_config: see `TranslatorSettings`.
      feature_width: `loss.feature_width`, of the feature space that actions shape.

    Returns:
      Objective whose loss reads batch["video"] = {"frames": uint8 (B, T, H, W, C)} and
      batch["labelled"] = {"frames": uint8 (B, 2, H, W, C), "action": int32 (B, 1) or float32
      (B, 1, A)}; with `steps` also frame_chunk and its mask, see remedies/inverse_dynamics.py.
      Metrics: those of `lam`, `action` (cross-entropy, or squared error) and, of classes,
      `action_accuracy`; with `steps` the loss `inverse`. Parameters: "lam", and the translator's
      under "heads/action".

    Raises:
      ConfigError: a wrong key or value, or more slots to supervise than there are.
    """
    head = read("translator", translator_config, TranslatorSettings)
    actions = _ActionReader.of(model, resolve_config(model_config), head)
    coefficients = {**lam.coefficients, TERM: head.coefficient}
    inverse = None
    if head.steps:
        inverse = InverseDynamics(
            head.outputs, head.discrete, head.steps, feature_width, head.bottleneck
        )
        coefficients[inverse_dynamics.TERM] = head.steps_coefficient

    def init(key: jax.Array, batch: Batch) -> Variables:
        variables = lam.init(key, batch[VIDEO])
        heads = {TERM: actions.init(fold_name(key, f"head {TERM}"))}
        if inverse:
            heads[inverse_dynamics.TERM] = inverse.init(fold_name(key, "head inverse"))
        nested = _nested(variables)
        return {**nested, "params": {**nested["params"], HEADS: heads}}

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        own, heads = {collection: tree[MODEL] for collection, tree in extra.items()}, params[HEADS]
        video = lam.outcome(params[MODEL], own, batch[VIDEO], key)
        error, metrics = actions.error(
            heads[TERM], {"params": params[MODEL], **own}, batch[LABELLED], fold_name(key, TERM)
        )
        terms = {**video.terms, TERM: error}
        if inverse:
            terms[inverse_dynamics.TERM] = inverse.error(
                heads[inverse_dynamics.TERM],
                params[MODEL][HEADS][FEATURE][ENCODER],
                batch[LABELLED],
                fold_name(key, inverse_dynamics.TERM),
            )
        return Outcome(terms, {**video.metrics, **metrics}, video.totals, _nested(video.extra))

    video_transitions: int = lam.transitions_per_row
    return dataclasses.replace(
        lam,
        init=init,
        outcome=outcome,
        coefficients=coefficients,
        flops_per_row=None,
        transitions_per_row={VIDEO: video_transitions, LABELLED: 1},
    )


def _nested(collections: Mapping[str, Any]) -> dict[str, Any]:
    """The model's variables where they lie beside the translator's."""
    return {collection: {MODEL: tree} for collection, tree in collections.items()}


@dataclasses.dataclass(frozen=True)
class _ActionReader:
    """A translator that reads prefixes of at most `supervised` of K slots, drawn by `sampler`."""

    model: LatentActionModel
    translator: Translator
    discrete: bool
    slots: int
    supervised: int
    sampler: Mapping[str, Any]

    @classmethod
    def of(
        cls, model: LatentActionModel, settings: Mapping[str, Any], head: TranslatorSettings
    ) -> "_ActionReader":
        """Raises ConfigError for more slots to supervise than `model.slots`."""
        slots = settings["slots"]
        if head.slots > slots:
            raise ConfigError(f"config.translator.slots={head.slots} of config.model.slots={slots}")
        supervised = head.slots or slots
        sampler = within_first(settings["keep"], slots, supervised)
        translator = Translator(head.outputs, head.hidden)
        return cls(model, translator, head.discrete, slots, supervised, sampler)

    def init(self, key: jax.Array) -> Any:
        """Parameters of the translator."""
        features = jnp.zeros((1, self.slots * self.model.quantizer.width))
        return self.translator.init(key, features)["params"]

    def error(
        self, head: Any, variables: Variables, batch: Batch, key: jax.Array
    ) -> tuple[Mean, dict[str, Mean]]:
        """(the loss of a labelled batch; metrics); gradients reach the translator and the model."""
        outputs, action = self._read(head, variables, batch["frames"], key), batch["action"]
        if not self.discrete:
            return Mean.of(jnp.square(outputs - action).mean(-1)), {}
        error = optax.softmax_cross_entropy_with_integer_labels(outputs, action)
        return Mean.of(error), {"action_accuracy": Mean.of(outputs.argmax(-1) == action)}

    def _read(self, head, variables, frames, key) -> jax.Array:
        """Frames (B, 2, H, W, C) -> outputs (B, 1, A) at a sampled length."""
        slots, _ = self.model.apply(variables, frames, method="encode")
        keep = sample_keep(key, self.sampler, slots.shape[:-2], slots=self.supervised)
        features = prefix_features(self.model.apply(variables, slots, keep, method="null_fill"))
        statistics = identity_statistics(features.shape[-1], self.translator.outputs)
        return self.translator.apply({"params": head, "statistics": statistics}, features)


def identity_statistics(features: int, outputs: int) -> dict[str, jax.Array]:
    """The translator's "statistics" that change nothing."""
    return {
        "mean": jnp.zeros(features),
        "scale": jnp.ones(features),
        "target_mean": jnp.zeros(outputs),
        "target_scale": jnp.ones(outputs),
    }
