"""A latent-token policy, for whoever draws latent actions from it.

    policy = flexlam_jax.load(path)                     # work directory or its checkpoints folder
    codes = policy.draws(frames, past, seeds, draws=16, keep=4)
    nats = policy.log_prob(frames, codes)

What it draws becomes actions in acting/latent_policy.py.

Dimension keys: B batch, T steps of context, S frames of a stack, H W C image, K slots, D slot
width, N draws. Codes are ids int32 (.., K), or values float32 (.., K, D) of continuous slots.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.buckets import Array, in_buckets
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.token_policy import TokenPolicy, build_token_policy


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedTokenPolicy":
    """The policy of a run; see `flexlam_jax.load`, whose arguments and errors these are."""

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        policy = LoadedTokenPolicy(_built(config, path), {}, config, 0)
        frames, codes = (
            jax.ShapeDtypeStruct((1, *shape), dtype) for shape, dtype in policy.reads()
        )
        return dict(jax.eval_shape(policy.model.init, jax.random.key(0), frames, codes))

    variables, config, step = restore_params(path, abstract, step)
    variables = jax.device_put(variables, jax.local_devices()[0])
    return LoadedTokenPolicy(_built(config, path), variables, config, step)


def _built(config: dict[str, Any], path: Any) -> TokenPolicy:
    if not {"model", "codes", "lam"} <= set(config):
        raise CheckpointError(
            f"the config of the token policy in {path} lacks a section model, codes or lam; train "
            "the policy again with experiments.train"
        )
    return build_token_policy(config["model"], config["codes"])


class LoadedTokenPolicy:
    """Frames and past latent actions -> the next one. Made by `flexlam_jax.load`.

    It reads the last T + S - 1 frames, `gap` apart, the present one last, and the latent actions of
    the T - 1 steps before the present one. Inside a caller's own `jit` the methods trace straight
    through.

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      context, stack, gap: T, S, and the frames from one step to the next.
      frame_shape: (H, W, C).                      slots, slot_width: K and D.
      codebook_size: codes of a slot; None if slots are continuous.
      lam: which model made the codes: {"checkpoint", "step", "fingerprint"}, the first "" where it
        was not told.
    """

    def __init__(self, model: TokenPolicy, variables: Any, config: dict[str, Any], step: int):
        self.model, self.config, self.step = model, config, step
        self.context, self.stack = model.context, model.trunk.stack
        self.frame_shape = frame_shape(config["model"])
        codes = config["codes"]
        self.slots, self.slot_width, self.gap = (
            codes[name] for name in ("slots", "slot_width", "gap")
        )
        self.codebook_size: int | None = codes["codebook_size"] or None
        self.lam = dict(config["lam"])
        self.variables = variables
        self._draw = jax.jit(
            lambda variables, *args, **counts: model.apply(
                variables, *args, **counts, method="draw"
            ),
            static_argnames=("draws", "keep"),
        )
        self._log_prob = jax.jit(
            lambda variables, frames, codes: model.apply(
                variables, frames, codes, method="log_prob"
            )
        )

    @property
    def frames(self) -> int:
        """How many frames it reads, T + S - 1."""
        return self.context + self.stack - 1

    def reads(self) -> tuple[tuple[tuple[int, ...], Any], ...]:
        """(shape, type) of a row of frames, and of a row of the codes of all T steps."""
        codes = self.model.distribution.codes_are
        return (
            ((self.frames, *self.frame_shape), jnp.uint8),
            ((self.context, *codes.shape), codes.dtype),
        )

    def draws(self, frames: Array, past: Array, seeds: Array, *, draws: int, keep: int) -> Array:
        """Samples of the first `keep` slots of the present latent action, (B, N, keep).

        Draw n, slot i of a row depends on the row, its seed, n and i alone.

        Args:
          frames: uint8 (B, T + S - 1, H, W, C).
          past: codes of the steps before, (B, T - 1, K).
          seeds: uint32 (B,).
          draws: N.
          keep: 1..K.

        Raises:
          ValueError: wrong types or shapes, or `draws` or `keep` out of range.
        """
        (frames_are, codes_are), rows = self.reads(), np.shape(frames)[:1]
        steps, *one = codes_are[0]
        self._check("frames", frames, (*rows, *frames_are[0]), frames_are[1])
        self._check("past", past, (*rows, steps - 1, *one), codes_are[1])
        self._check("seeds", seeds, rows, jnp.uint32)
        if draws < 1 or not 1 <= keep <= self.slots:
            raise ValueError(
                f"draws={draws}, keep={keep}: at least 1 draw, and 1..{self.slots} slots"
            )

        def draw(*arguments: Array) -> Array:
            return self._draw(self.variables, *arguments, draws=draws, keep=keep)

        return in_buckets(draw, (frames, past, seeds), batched=True)

    def log_prob(self, frames: Array, codes: Array) -> Array:
        """Nats (B, T, K) of every slot given what precedes it; for values, of a density.

        Args:
          frames: uint8 (B, T + S - 1, H, W, C).
          codes: (B, T, K) of all steps, the present one last.

        Raises:
          ValueError: wrong types or shapes.
        """
        rows = np.shape(frames)[:1]
        for name, given, (shape, dtype) in zip(
            ("frames", "codes"), (frames, codes), self.reads(), strict=True
        ):
            self._check(name, given, (*rows, *shape), dtype)

        def log_prob(*arguments: Array) -> Array:
            return self._log_prob(self.variables, *arguments)

        return in_buckets(log_prob, (frames, codes), batched=True)

    def _check(self, name: str, given: Any, shape: tuple[int, ...], dtype: Any) -> None:
        found = jnp.dtype(getattr(given, "dtype", object))
        if np.shape(given) != shape or found != jnp.dtype(dtype) or not shape[0]:
            raise ValueError(
                f"{name} are {found} of shape {np.shape(given)}; this policy reads "
                f"{jnp.dtype(dtype)} of shape (B, {', '.join(map(str, shape[1:]))})"
            )
