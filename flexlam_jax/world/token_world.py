"""A world of tokens: dynamics say which tokens come next, a tokenizer shows them.

    world = flexlam_jax.load("runs/dynamics")
    state = world.start(frames)                            # uint8 (B, T0, H, W, C)
    frames, state = world.step(state, codes, keep=1)       # codes (B, K, D)

A step draws the tokens of a frame, makes it past and decodes it, in one program, compiled once for
each number of rows and of sampling steps. What a row shows depends on no other row, but for rounding.

Dimension keys: B rows, T0 frames of a start, H W C frame, N tokens of a frame, K slots, D width.
"""

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.errors import UserError
from flexlam_jax.frames import from_float
from flexlam_jax.loading.actions import Actions
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.models.bottleneck import null_fill, trained_budgets
from flexlam_jax.models.drafts import draft_ids
from flexlam_jax.models.dynamics import Dynamics, draw_frame
from flexlam_jax.models.lam import LatentActionModel, build_lam
from flexlam_jax.models.maskgit import hidden_after
from flexlam_jax.models.spacetime import FrameCache
from flexlam_jax.models.tokenizer import Tokenizer
from flexlam_jax.world.inputs import start_frames, step_codes


@flax.struct.dataclass
class TokenState:
    """Of B rows: what the dynamics, and the tokenizer's decoder, have kept of the frames so far, and,
    for dynamics with drafts, the newest frame as it was shown, uint8 (B, H, W, C)."""

    cache: FrameCache
    shown: Any
    newest: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class _Networks:
    """What a program depends on beside its arguments: worlds that differ in their weights alone share
    theirs. `lam` is None where actions are not latent ones; `slots` is K."""

    dynamics: Dynamics
    tokenizer: Tokenizer
    lam: LatentActionModel | None
    slots: int


class TokenWorld:
    """A `World`; made by `flexlam_jax.load`.

    A model of true actions has a single slot, the one-hot or vector of the action, and starts from
    one frame: nobody tells which actions lie between several. One without actions ignores codes.

    Attributes: those of `World`, and

      temperature: of sampling where none is given.
      lam: which model's codes it obeys: {"checkpoint", "step", "fingerprint"}; {} for none.
      latent_actions: that model, None for none.      tokenizer: what shows its frames.
      action_names: of true actions, or of the numbers of one; () for latent ones.
      gap: frames of the data from one frame to the next.
      config: the run's config, a plain dict.         step_number: the training step that was loaded.
      dynamics: the model.                            variables: those of all parts.
      actions: what its codes were shown to mean; there on worlds that `flexlam_jax.load` gave.
    """

    actions: Actions

    def __init__(
        self,
        dynamics: Dynamics,
        variables: Any,
        config: dict[str, Any],
        step: int,
        tokenizer: LoadedTokenizer,
        lam: LoadedLam | None = None,
    ):
        self.config, self.step_number = config, step
        self.tokenizer, self.latent_actions = tokenizer, lam
        actions, sampling = config["actions"], config["sampling"]
        self.frame_shape = tokenizer.frame_shape
        self.slots, self.slot_width = actions["slots"], actions["slot_width"]
        self.budgets = (1,) if dynamics.action == "true" else trained_budgets(actions)
        self.action_names = tuple(actions["names"])
        self.gap = config["data"]["gap"]
        self.history = 1 if dynamics.action == "true" else dynamics.window
        self.sampling_steps = sampling["steps"] if dynamics.kind == "maskgit" else 0
        self.temperature = sampling["temperature"]
        self.lam = dict(config["lam"]) if config["lam"]["checkpoint"] else {}
        latent = lam is not None and dynamics.action == "latent"
        model = build_lam(lam.config["model"]) if latent else None
        self.dynamics = dynamics
        self._networks = _Networks(dynamics, tokenizer.model, model, self.slots)
        self.variables = {
            "dynamics": variables,
            "tokenizer": tokenizer.variables,
            "lam": lam.variables if latent else {},
            "null": lam.null if latent else np.zeros(self.slot_width, np.float32),
        }

    def start(self, frames: np.ndarray) -> TokenState:
        """See `World.start`: frames are encoded, and the actions between them inferred, whole."""
        frames = start_frames(frames, self.frame_shape, self.history)
        return self.start_program(frames)

    def step(
        self,
        state: TokenState,
        codes: np.ndarray | jax.Array,
        keep: np.ndarray | int | None = None,
        *,
        seed: int = 0,
        steps: int | None = None,
        temperature: float | None = None,
    ) -> tuple[np.ndarray, TokenState]:
        """See `World.step`. In raster order `steps` changes nothing.

        Raises:
          ValueError: codes or keep as `inputs.step_codes`; seed, steps or temperature out of range.
        """
        rows = len(state.cache.count)
        codes, keep = step_codes(codes, keep, rows, self.slots, self.slot_width)
        steps = self._steps(steps)
        temperature = self.temperature if temperature is None else temperature
        if not np.isfinite(temperature) or temperature < 0:
            raise UserError(f"step: temperature={temperature}; give a number of 0 or more")
        if not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**32:
            raise UserError(f"step: seed={seed!r}; give a whole number from 0 to 2^32 - 1")
        program = self.step_program(steps)
        frames, state = program(state, codes, keep, np.uint32(seed), np.float32(temperature))
        return np.asarray(frames), state

    def start_program(self, frames: jax.Array | np.ndarray) -> TokenState:
        """What `start` runs, jitted and without its checks: frames uint8 (B, T0, H, W, C)."""
        return _start(self._networks, self.variables, frames)

    def start_actions(self, frames: jax.Array | np.ndarray) -> jax.Array:
        """Slots (B, T0 - 1, K, D) that lead from each frame of a start to the next; no checks."""
        return _start_actions(self._networks, self.variables, frames)

    def step_program(self, steps: int) -> Callable[..., tuple[jax.Array, TokenState]]:
        """What `step` runs, jitted and without its checks: (state, codes float32 (B, K, D), keep int32
        (B,), seed uint32, temperature float32) -> (frames uint8 (B, H, W, C), state)."""
        return functools.partial(_step, self._networks, steps, self.variables)

    def fingerprint(self) -> str:
        """sha256 of the parameters of the dynamics alone: tells which model made a file."""
        return parameters_hash(self.variables["dynamics"])

    def _steps(self, steps: int | None) -> int:
        if self._networks.dynamics.kind == "causal":
            return 1
        steps = self.sampling_steps if steps is None else steps
        if not isinstance(steps, numbers.Integral):
            raise UserError(f"step: steps={steps!r} is no whole number")
        hidden_after(self._networks.dynamics.tokens, int(steps))  # Raises for too many.
        return int(steps)


@functools.partial(jax.jit, static_argnums=0)
def _start(networks: _Networks, variables: Any, frames: jax.Array) -> TokenState:
    tokenizer, given = networks.tokenizer, variables["tokenizer"]
    ids = tokenizer.apply(given, frames, method="encode").ids
    values = tokenizer.apply(given, ids, method="values_of")
    made, shown = tokenizer.apply(given, values, method="decode_read")
    actions = _start_actions(networks, variables, frames)
    drafts = newest = None
    if networks.dynamics.drafts:
        made = from_float(made, jnp.uint8)
        drafts, newest = _drafts(networks, variables, made[:, :-1], actions), made[:, -1]
    cache = networks.dynamics.apply(variables["dynamics"], ids, actions, drafts, method="start")
    return TokenState(cache, shown, newest)


def _drafts(
    networks: _Networks, variables: Any, frames: jax.Array, actions: jax.Array
) -> jax.Array:
    """Of the frames after these, ids (B, T, N); frames and actions as `draft_ids` takes them."""
    if not frames.shape[1]:
        return jnp.zeros((frames.shape[0], 0, networks.dynamics.tokens), jnp.int32)
    return draft_ids(
        networks.tokenizer, variables["tokenizer"], networks.lam, variables["lam"], frames, actions
    )


@functools.partial(jax.jit, static_argnums=0)
def _start_actions(networks: _Networks, variables: Any, frames: jax.Array) -> jax.Array:
    if networks.lam is None or frames.shape[1] == 1:
        return jnp.zeros((frames.shape[0], 0, networks.slots, variables["null"].shape[0]))
    return networks.lam.apply(variables["lam"], frames, method="encode")[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(
    networks: _Networks,
    steps: int,
    variables: Any,
    state: TokenState,
    codes: jax.Array,
    keep: jax.Array,
    seed: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, TokenState]:
    dynamics, tokenizer, cache = networks.dynamics, networks.tokenizer, state.cache
    given = variables["dynamics"]
    action = null_fill(codes, keep, variables["null"])
    draft = None
    if dynamics.drafts:
        draft = _drafts(networks, variables, state.newest[:, None], action[:, None])[:, 0]
    ids = draw_frame(
        dynamics,
        given,
        action,
        cache,
        _row_keys(seed, cache.count),
        draft,
        steps=steps,
        temperature=temperature,
    )
    cache = dynamics.apply(given, ids, action, cache, draft, method="write")
    values = tokenizer.apply(variables["tokenizer"], ids[:, None], method="values_of")
    frames, shown = tokenizer.apply(
        variables["tokenizer"], values, state.shown, method="decode_step"
    )
    made = from_float(frames[:, 0], jnp.uint8)
    return made, TokenState(cache, shown, made if dynamics.drafts else None)


def _row_keys(seed: jax.Array, count: jax.Array) -> jax.Array:
    """A key for each row, of the seed, the number of its next frame and the row."""

    def of_row(row: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), row)

    return jax.vmap(of_row)(jnp.arange(count.shape[0]), count)
