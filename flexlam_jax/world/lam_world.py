"""The decoder of a latent action model, iterated: the world that every checkpoint of kind lam is.

    world = LamWorld(flexlam_jax.load("runs/doom"))
    state = world.start(frames)                           # the newest frame is all that counts
    frames, state = world.step(state, codes, keep=1)

It was trained on true frames and one step, so it blurs as it goes on: the floor that a model of
dynamics has to beat. What it shows is what it goes on from: frames are rounded to uint8 in between.

Dimension keys: B rows, T0 frames of a start, H W C frame, K slots, D slot width.
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.frames import from_float
from flexlam_jax.loading.buckets import DECISIONS, in_buckets
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.vector_lam import LoadedVectorLam
from flexlam_jax.world.inputs import start_frames, step_codes


@flax.struct.dataclass
class LamState:
    """The frames that are shown, uint8 (B, H, W, C)."""

    frames: np.ndarray


class LamWorld:
    """A `World` that decodes frame after frame with a latent action model.

    Attributes: those of `World`, and

      lam: which model's codes it obeys: {"checkpoint", "step", "fingerprint"}.
      latent_actions: that model.      step_number: its training step.
      actions: its typed actions, where it was loaded by path.

    Raises:
      UserError: a model of vectors, which shows no pictures.
    """

    history = 1
    sampling_steps = 0

    def __init__(self, lam: LoadedLam, checkpoint: str = ""):
        if isinstance(lam, LoadedVectorLam):
            raise UserError(
                f"{checkpoint or 'the model'} is a latent action model of vectors, which shows no "
                "pictures; a world is played on frames"
            )
        self.frame_shape = lam.frame_shape
        self.slots, self.slot_width, self.budgets = lam.slots, lam.slot_width, lam.budgets
        self.lam = {
            "checkpoint": checkpoint,
            "step": lam.step,
            "fingerprint": lam.fingerprint(),
        }
        self.latent_actions, self.step_number = lam, lam.step
        self.actions = getattr(lam, "actions", None)
        self._run = functools.partial(_step, lam.programs, lam.variables)

    def start(self, frames: np.ndarray) -> LamState:
        """See `World.start`; of one frame, so T0 is 1."""
        return LamState(start_frames(frames, self.frame_shape, self.history)[:, -1])

    def step(
        self,
        state: LamState,
        codes: np.ndarray | jax.Array,
        keep: np.ndarray | int | None = None,
        *,
        seed: int = 0,
        steps: int | None = None,
        temperature: float | None = None,
    ) -> tuple[np.ndarray, LamState]:
        """See `World.step`; nothing is drawn, so seed, steps and temperature change nothing."""
        del seed, steps, temperature
        rows = len(state.frames)
        codes, keep = step_codes(codes, keep, rows, self.slots, self.slot_width)
        arguments = state.frames, codes, keep
        frames = np.asarray(in_buckets(self._run, arguments, batched=True, buckets=DECISIONS))
        return frames, LamState(frames)


@functools.partial(jax.jit, static_argnums=0)
def _step(programs: Any, variables: Any, frames: jax.Array, codes: jax.Array, keep: jax.Array):
    slots = programs.null_fill(variables, codes, keep)
    return from_float(programs.decode(variables, frames, slots), jnp.uint8)
