"""Acting through latent actions: a policy draws their tokens, a translator reads the action.

    policy = LatentPolicy(token_policy, lam, translator, keep=4)
    decision = policy.decide(frames, seeds)

Probabilities of actions are those that the translator gives each draw, averaged. A draw is the
prefix of `keep` slots; the rest is the null latent of the latent action model.

Dimension keys: B episodes, T frames of history, H W C image, N draws, K slots, D slot width, A
actions, or dimensions of one.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.acting.policy import Decision
from flexlam_jax.errors import UserError
from flexlam_jax.loading.buckets import DECISIONS, in_buckets
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.token_policy import LoadedTokenPolicy
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.models.token_policy import TokenPolicy
from flexlam_jax.models.translator import Translator, prefix_features


@dataclasses.dataclass(frozen=True)
class _Networks:
    """What a compiled decision depends on beside its arguments: policies that differ in their
    weights alone share one program."""

    policy: TokenPolicy
    lam: Any  # `LoadedLam.programs`
    translator: Translator
    discrete_actions: bool
    gap: int
    keep: int
    draws: int


class LatentPolicy:
    """Draws latent actions and translates them. A `flexlam_jax.acting.policy.Policy`.

    Args:
      policy: trained on the codes of `lam`.
      lam: gives the tokens of past steps, the null latent, and the predicted frame.
      translator: fitted on the codes of `lam`.
      keep: the budget: slots that are drawn, 1..K.
      draws: N, latent actions that are drawn for a decision.

    Attributes:
      action_names: of the outputs, in order.      discrete: one action of several, or a vector.
      history: frames T that a decision reads.     image_size: their (height, width).

    Raises:
      UserError: the parts belong to different latent action models, to frames of different size,
        a translator whose outputs have other names than it has outputs, or a budget or number of
        draws that is out of range.
    """

    def __init__(
        self,
        policy: LoadedTokenPolicy,
        lam: LoadedLam,
        translator: LoadedTranslator,
        *,
        keep: int,
        draws: int = 16,
    ):
        _check_parts(policy, lam, translator)
        if not 1 <= keep <= lam.slots or draws < 1:
            raise UserError(
                f"keep={keep}, draws={draws}: the latent action model has {lam.slots} slots, so "
                f"keep is 1..{lam.slots}, and at least 1 draw is needed"
            )
        self.action_names = tuple(translator.config.action_names)
        self.discrete = translator.config.discrete
        self.history = 1 + policy.gap * (policy.frames - 1)
        self.image_size = policy.frame_shape[:2]
        self._frames_are = (self.history, *policy.frame_shape)
        networks = _Networks(
            policy.model,
            lam.programs,
            translator.network,
            self.discrete,
            policy.gap,
            keep,
            draws,
        )
        self._variables = (policy.variables, lam.variables, translator.variables)
        self._run = functools.partial(_decide, networks)

    def decide(self, frames: np.ndarray, seeds: np.ndarray, *, predict: bool = False) -> Decision:
        """Probabilities of the next action, tokens of the first draw (None for continuous slots),
        and with `predict` the decoder's picture of that draw. See `Policy.decide`.

        Raises:
          UserError: the actions are continuous, so that none has a probability.
          ValueError: wrong type, size or number of frames or seeds.
        """
        if not self.discrete:
            raise UserError(
                f"the policy gives a continuous action ({', '.join(self.action_names)}) and no "
                "probabilities; call it for the action, policy(frames, seeds)"
            )
        return Decision(*self._outputs(frames, seeds, predict))

    def __call__(self, frames: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """The likeliest action, int32 (B,), or the mean continuous one, float32 (B, A).

        Raises:
          ValueError: as `decide`.
        """
        outputs, *_ = self._outputs(frames, seeds, False)
        return outputs.argmax(-1).astype(np.int32) if self.discrete else outputs

    def _outputs(self, frames, seeds, predict):
        frames, seeds = np.asarray(frames), np.asarray(seeds)
        if frames.dtype != np.uint8 or frames.shape[1:] != self._frames_are or not len(frames):
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}; this policy reads uint8 of "
                f"shape (B, {', '.join(map(str, self._frames_are))}), the last {self.history} "
                "frames"
            )
        if seeds.dtype != np.uint32 or seeds.shape != frames.shape[:1]:
            raise ValueError(
                f"seeds are {seeds.dtype} of shape {seeds.shape}; give one uint32 per row, "
                f"{frames.shape[:1]}"
            )
        run = functools.partial(self._run, predict, self._variables)
        return in_buckets(run, (frames, seeds), batched=True, buckets=DECISIONS)


def _check_parts(policy: LoadedTokenPolicy, lam: LoadedLam, translator: LoadedTranslator) -> None:
    """Raises UserError for parts that do not belong together."""
    made_by, config = lam.fingerprint(), translator.config
    for what, source in (("token policy", policy.lam), ("translator", config.lam)):
        if source.get("fingerprint") != made_by:
            raise UserError(
                f"the {what} was trained on the codes of another latent action model "
                f"({_told(source)}) than the one given ({made_by[:12]}, step {lam.step}); load "
                f"that model, or train the {what} on the codes of this one"
            )
    if policy.frame_shape != lam.frame_shape:
        raise UserError(
            f"the token policy reads frames of {policy.frame_shape}, the latent action model of "
            f"{lam.frame_shape}; train the policy with config.model.image_size of that model"
        )
    if len(config.action_names) != config.outputs:
        raise UserError(
            f"the translator has {config.outputs} outputs but {len(config.action_names)} names of "
            f"actions ({', '.join(config.action_names)}); make it again with "
            "experiments.align_translator"
        )


def _told(source: dict[str, Any]) -> str:
    fingerprint = str(source.get("fingerprint", "unknown"))[:12]
    return f"{fingerprint}, step {source.get('step', 'unknown')}"


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decide(
    networks: _Networks,
    predict: bool,
    variables: tuple[Any, Any, Any],
    frames: jax.Array,
    seeds: jax.Array,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Outputs (B, A), predicted frames (B, H, W, C) or None, tokens (B, K) or None."""
    of_policy, of_lam, of_translator = variables
    frames = frames[:, :: networks.gap]
    codes = networks.policy.apply(
        of_policy,
        frames,
        _past(networks, of_lam, frames),
        seeds,
        draws=networks.draws,
        keep=networks.keep,
        method="draw",
    )
    slots, tokens = _null_filled(networks, of_lam, codes)
    outputs = networks.translator.apply(of_translator, prefix_features(slots))
    outputs = jax.nn.softmax(outputs) if networks.discrete_actions else outputs
    prediction = networks.lam.decode(of_lam, frames[:, -1], slots[:, 0]) if predict else None
    return outputs.mean(axis=1), prediction, None if tokens is None else tokens[:, 0]


def _past(networks, of_lam, frames):
    """The codes of the steps before the present one, (B, T-1, K) or (B, T-1, K, D)."""
    observed = frames[:, frames.shape[1] - networks.policy.context :]
    rows, steps = len(frames), networks.policy.context - 1
    if not steps:
        of = networks.policy.distribution.codes_are
        return jnp.zeros((rows, 0, *of.shape), of.dtype)
    pairs = [x.reshape(-1, *x.shape[2:]) for x in (observed[:, :-1], observed[:, 1:])]
    slots, ids = networks.lam.encode(of_lam, *pairs)
    codes = ids if networks.policy.column == "ids" else slots
    return codes.reshape(rows, steps, *codes.shape[1:])


def _null_filled(networks, of_lam, codes):
    """Slots (B, N, K, D) of drawn prefixes (B, N, keep) or (B, N, keep, D), and their tokens."""
    rest = [(0, 0), (0, 0), (0, networks.policy.slots - networks.keep)]
    if codes.ndim == 3:
        null_id = networks.policy.distribution.codes
        tokens = jnp.pad(codes, rest, constant_values=null_id)
        return networks.lam.slots_of(of_lam, tokens), tokens
    slots = jnp.pad(codes, [*rest, (0, 0)])
    keep = jnp.full(slots.shape[:2], networks.keep)
    return networks.lam.null_fill(of_lam, slots, keep), None
