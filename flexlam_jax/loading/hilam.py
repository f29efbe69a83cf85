"""Skills of variable length, for whoever cuts sequences of latent actions into them.

    skills = flexlam_jax.load(path)                     # work directory or its checkpoints folder
    cut = skills.segment(skills.latents(slots))         # slots (B, T, K, D) of the same model
    cut.boundaries[-1], cut.skills[-1]                  # bool (B, T), float32 (B, T, W)

Dimension keys: B rows, T steps, K slots, D their width, F numbers of a latent action, W width of a
stage.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.buckets import Array, in_buckets
from flexlam_jax.models.chunk_stage import StageState, StageStep
from flexlam_jax.models.hilam import HiLam, Segmentation, build_hilam, kept

_FROZEN = "lam"  # Where a frozen model lies that the loss read; see objectives/frozen_lam.py.
_LEAST_STEPS = 16  # Shorter sequences are padded to it, longer ones to twice, four times it, ...


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedHiLam":
    """The skills of a run; see `flexlam_jax.load`, whose arguments and errors these are."""

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        model = _built(config, path)
        latents = jax.ShapeDtypeStruct((1, 2, model.size), jnp.float32)
        valid = jax.ShapeDtypeStruct((1, 2), jnp.bool_)
        return dict(jax.eval_shape(model.init, jax.random.key(0), latents, valid))

    # Skills are cut without it.
    found, config, step = restore_params(path, abstract, step, without=(_FROZEN,))
    variables = jax.device_put({"params": found["params"]}, jax.local_devices()[0])
    return LoadedHiLam(_built(config, path), variables, config, step)


def _built(config: dict[str, Any], path: Any) -> HiLam:
    if not {"model", "codes", "latents", "lam"} <= set(config):
        raise CheckpointError(
            f"the config of the skills in {path} lacks a section model, codes, latents or lam; "
            "train them again with experiments.train"
        )
    return build_hilam(config["model"], config["codes"], config["latents"])


class LoadedHiLam:
    """Sequences of latent actions -> skills. Made by `flexlam_jax.load`.

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      stages: how many.                            widths: of the skills of each.
      size: F.                                     gap: frames of a latent action.
      lam: which model made the latent actions: {"checkpoint", "step", "fingerprint"}; those of
        another mean nothing here.
    """

    def __init__(self, model: HiLam, variables: Any, config: dict[str, Any], step: int):
        self.model, self.config, self.step = model, config, step
        self.stages = len(config["model"]["targets"])
        self.widths = tuple(config["model"]["widths"][: self.stages])
        self.size, self.gap = model.size, config["codes"]["gap"]
        self.lam = dict(config["lam"])
        self.variables = variables
        self._segment = jax.jit(
            lambda variables, *args: model.apply(variables, *args, method="segment")
        )
        self._encode = jax.jit(
            lambda variables, *args: model.apply(variables, *args, method="encode")
        )
        self._step = jax.jit(lambda variables, *args: model.apply(variables, *args, method="step"))
        self._restart = jax.jit(
            lambda variables, *args: model.apply(variables, *args, method="restart")
        )

    def latents(self, slots: Array) -> Array:
        """Slots (..., K, D) as experiments.extract_latents writes them -> latent actions (..., F).

        Raises:
          ValueError: fewer slots or others than the model was trained on.
        """
        expected = self.config["codes"]["slots"], self.config["codes"]["slot_width"]
        if np.shape(slots)[-2:] != expected:
            raise ValueError(
                f"slots are of shape {np.shape(slots)}; these skills are of latent actions of "
                f"{expected[0]} slots of {expected[1]} numbers, (..., {expected[0]}, {expected[1]})"
            )
        return kept(slots, self.size)

    def segment(self, latents: Array, valid: Array | None = None) -> Segmentation:
        """Cuts sequences into skills.

        Args:
          latents: float (B, T, F), T at least 2.
          valid: bool (B, T), False in padding at the end of a row; None: there is none. Every row
            has two steps or more. T is padded to 16, 32, 64, ..., of which a `model.capacity` below
            1 is a share.

        Returns:
          boundaries: of each stage bool (B, T), the first steps of its chunks; skills: of each
          stage float32 (B, T, W), the skill of the chunk that each step belongs to; NumPy arrays.

        Raises:
          ValueError: wrong types or shapes, sequences of fewer than two steps, or padding before
            steps.
        """
        return self._of_sequences(self._segment, latents, valid)

    def encode(self, latents: Array, valid: Array | None = None) -> tuple[np.ndarray, ...]:
        """What each stage's encoder says at every step, for skills that are cut elsewhere.

        Those of a later stage are held from the first step of a chunk of the stages before to its
        end, so that all is causal. At the boundaries of `segment` they are its skills.

        Args and raises: as `segment`.

        Returns:
          of each stage float32 (B, T, W).
        """
        return self._of_sequences(self._encode, latents, valid)

    def _of_sequences(self, program: Any, latents: Array, valid: Array | None) -> Any:
        valid = np.ones(np.shape(latents)[:2], bool) if valid is None else np.asarray(valid)
        self._check(latents, valid)
        T = valid.shape[1]
        beyond = _room(T) - T
        latents = np.pad(np.asarray(latents, np.float32), ((0, 0), (0, beyond), (0, 0)))
        valid = np.pad(valid, ((0, 0), (0, beyond)))

        def of_rows(*arguments: Array) -> Any:
            return program(self.variables, *arguments)

        found = in_buckets(of_rows, (latents, valid), batched=True)
        return jax.tree.map(lambda x: x[:, :T], found)

    def fingerprint(self) -> str:
        """sha256 of the parameters: tells which model made skills."""
        return parameters_hash(self.variables)

    def start(self, rows: int, length: int) -> StageState:
        """The state before the first step of `rows` sequences, with room for `length` steps.

        `model.capacity` is of as many steps as `segment` pads sequences of that length to.
        """
        state = self.model.apply(self.variables, rows, _room(length), method="start")
        return state.replace(room=length)

    def restart(self, state: StageState, ended: Array) -> StageState:
        """Forgets the sequences of the rows `ended`, bool (B,): other ones begin there.

        Raises:
          ValueError: another number of rows.
        """
        if np.shape(ended) != np.shape(state.count):
            raise ValueError(
                f"ended is of shape {np.shape(ended)}; this state has {len(state.count)} rows"
            )
        return self._restart(self.variables, state, np.asarray(ended, bool))

    def advance(
        self, latents: Array, go: Array, state: StageState
    ) -> tuple[jax.Array, StageState, tuple[StageStep, ...]]:
        """One step of each row: the same numbers as `segment` gives of whole sequences.

        Args:
          latents: float (B, F), read in the rows that go.
          go: bool (B,); the other rows keep their state.
          state: from `start`, or from the step before.

        Returns:
          (the latent action that is expected next, float32 (B, F); state; of each stage whether it
          cut here, bool (B,), and the skill of the present chunk, (B, W)).

        Raises:
          ValueError: another size, or a state that has no room left.
        """
        rows = len(state.count)
        if np.shape(latents) != (rows, self.size) or np.shape(go) != (rows,):
            raise ValueError(
                f"latents are of shape {np.shape(latents)} and go {np.shape(go)}; this state reads "
                f"({rows}, {self.size}) and ({rows},)"
            )
        if int(jnp.max(jnp.where(go, state.count, 0))) >= state.room:
            raise ValueError(
                f"the state has room for {state.room} steps and a row has had them; restart rows "
                "whose sequence ended, or start again with a larger length"
            )
        return self._step(self.variables, latents, go, state)

    def _check(self, latents: Array, valid: np.ndarray) -> None:
        shape, dtype = np.shape(latents), jnp.dtype(getattr(latents, "dtype", object))
        if len(shape) != 3 or shape[2] != self.size or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"latents are {dtype} of shape {shape}; these skills are of float latent actions "
                f"of shape (B, T, {self.size})"
            )
        if valid.shape != shape[:2] or valid.dtype != np.bool_:
            raise ValueError(
                f"valid is {valid.dtype} of shape {valid.shape}; give bool of shape {shape[:2]}"
            )
        steps = valid.sum(axis=1)
        if not len(steps) or (steps < 2).any():
            raise ValueError(
                "a sequence has fewer than two latent actions, in which nothing can be cut; leave "
                f"such rows out ({int((steps < 2).sum())} of {len(steps)})"
            )
        if (valid[:, 1:] & ~valid[:, :-1]).any():
            raise ValueError("valid has steps after padding; padding stands at the end of a row")


def _room(steps: int) -> int:
    """Steps of the program that such a sequence runs in: few lengths compile."""
    room = _LEAST_STEPS
    while room < steps:
        room *= 2
    return room
