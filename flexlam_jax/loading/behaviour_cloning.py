"""A policy cloned from true actions, for whoever plays it.

    policy = flexlam_jax.load(path)                    # work directory or its checkpoints folder
    action = policy(frames)                            # of the last `policy.history` frames
    policy.decide(frames, seeds).probabilities         # what rollouts ask for, see acting/policy.py

Dimension keys: B batch, T frames of history, H W C image, A actions, or dimensions of one.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.acting.policy import Decision
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import UserError
from flexlam_jax.loading.buckets import DECISIONS, Array, in_buckets
from flexlam_jax.models.behaviour_cloning import BehaviourCloning, build_behaviour_cloning
from flexlam_jax.models.lam import frame_shape


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedBehaviourCloning":
    """The policy of a run; see `flexlam_jax.load`, whose arguments and errors these are."""

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        model = build_behaviour_cloning(config["model"])
        frames = jax.ShapeDtypeStruct((1, 1, *frame_shape(config["model"])), jnp.uint8)
        return dict(jax.eval_shape(model.init, jax.random.key(0), frames))

    variables, config, step = restore_params(path, abstract, step)
    return LoadedBehaviourCloning(build_behaviour_cloning(config["model"]), variables, config, step)


class LoadedBehaviourCloning:
    """Frames -> actions. Made by `flexlam_jax.load`; a `flexlam_jax.acting.policy.Policy`.

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      action_names: of the outputs, in order.      discrete: one action of several, or a vector.
      history: frames that a decision reads.       frame_shape, image_size: their (H, W, C), (H, W).
      model, variables: for programs that hold more than the policy.
    """

    def __init__(self, model: BehaviourCloning, variables: Any, config: dict[str, Any], step: int):
        self.model, self.variables, self.config, self.step = model, variables, config, step
        self.action_names = tuple(config["model"]["action_names"])
        self.discrete: bool = config["model"]["discrete"]
        self.history: int = model.trunk.stack
        self.frame_shape = frame_shape(config["model"])
        self.image_size = self.frame_shape[:2]
        run = jax.jit(lambda variables, frames: model.apply(variables, frames, last=1)[:, 0])
        self._outputs = functools.partial(run, variables)

    def outputs(self, frames: Array) -> Array:
        """Logits of discrete actions, or the continuous action, float32 (B, A).

        Args:
          frames: uint8 (B, T, H, W, C), T = `history`, the present one last; before the first frame
            of an episode its first frame is repeated.

        Raises:
          ValueError: wrong type, size or number of frames.
        """
        frames = frames if isinstance(frames, jax.Array) else np.asarray(frames)
        expected = (self.history, *self.frame_shape)
        if frames.dtype != jnp.uint8 or frames.ndim != 5 or frames.shape[1:] != expected:
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}; this policy reads uint8 of "
                f"shape (B, {', '.join(map(str, expected))}), the last {self.history} frames"
            )
        if not len(frames):
            raise ValueError(f"frames are an empty batch, shape {frames.shape}")
        return in_buckets(self._outputs, (frames,), batched=True, buckets=DECISIONS)

    def __call__(self, frames: Array) -> Array:
        """The likeliest action, int32 (B,), or the continuous one, float32 (B, A); see `outputs`."""
        outputs = self.outputs(frames)
        return outputs.argmax(-1).astype(np.int32) if self.discrete else outputs

    def decide(self, frames: np.ndarray, seeds: np.ndarray, *, predict: bool = False) -> Decision:
        """Probabilities of the next action; nothing is drawn, and no frame is predicted.

        Raises:
          UserError: the actions are continuous, so that none has a probability.
          ValueError: as `outputs`.
        """
        if not self.discrete:
            raise UserError(
                f"the policy gives a continuous action ({', '.join(self.action_names)}) and no "
                "probabilities; call it for the action, policy(frames)"
            )
        logits = np.asarray(self.outputs(frames), np.float32)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return Decision(odds / odds.sum(axis=-1, keepdims=True))
