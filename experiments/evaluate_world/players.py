"""Worlds side by side, each with the commands that it takes: codes, true actions, or none.

Dimension keys: N clips, T steps, K slots, D slot width, A actions.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.lam_inputs import model_name
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.world.lam_world import LamWorld
from flexlam_jax.world.opening import codes_of, open_world
from flexlam_jax.world.world import World

LATENT, TRUE, NONE = "latent actions", "true actions", "no actions"
FLOOR = "decoder of the latent action model"


@dataclasses.dataclass(frozen=True)
class Player:
    """A world and how it is commanded.

    Attributes:
      takes: LATENT, TRUE or NONE.
      budgets: prefix lengths to measure; (None,) for worlds that know none.
    """

    name: str
    world: World
    takes: str
    budgets: tuple[int | None, ...]

    def commands(self, clips: Clips, names: Sequence[str]) -> np.ndarray:
        """What leads from frame to frame in the clips, float32 (N, T, K, D) as the world takes it.

        Args:
          names: of the A actions of the data.
        """
        if self.takes == LATENT:
            return clips.slots
        if self.takes == TRUE and clips.action is not None:
            return np.eye(len(names), dtype=np.float32)[clips.action][:, :, None]
        shape = (*clips.slots.shape[:2], self.world.slots, self.world.slot_width)
        return np.zeros(shape, np.float32)

    def ids(self, clips: Clips) -> np.ndarray | None:
        """What tells commands apart, (N, T, K); None where they are drawn from transitions."""
        if self.takes == TRUE and clips.action is not None:
            return clips.action[..., None]
        return clips.ids if self.takes == LATENT else None


def open_players(
    checkpoint: str,
    world: World,
    lam: LoadedLam,
    compare: Sequence[str],
    budgets: Sequence[int],
    names: Sequence[str],
) -> list[Player]:
    """The world, those of --compare, and the latent action model's decoder as their floor.

    Args:
      compare: items NAME=PATH.      names: of the discrete actions of the data, () for none.

    Raises:
      UserError: an item that is no NAME=PATH or names one twice, frames of another size, a world
        that obeys another latent action model, or true actions that the data do not have.
    """
    worlds: dict[str, World] = {model_name(checkpoint): world}
    for item in compare:
        name, equals, path = item.partition("=")
        if not (name and equals and path) or name in worlds:
            raise UserError(
                f"--compare item {item!r} is not NAME=PATH, with a name of its own"
                + (f" (--checkpoint is called {name})" if name in worlds else "")
            )
        worlds[name] = open_world(path)
    if not isinstance(world, LamWorld) and FLOOR not in worlds:
        worlds[FLOOR] = LamWorld(lam)
    return [_player(name, one, lam, budgets, names) for name, one in worlds.items()]


def takes(world: Any) -> str:
    """How a world is commanded."""
    if getattr(world, "action_names", ()):
        return TRUE
    return NONE if getattr(world, "lam", None) == {} else LATENT


def _player(
    name: str, world: World, lam: LoadedLam, budgets: Sequence[int], names: Sequence[str]
) -> Player:
    if tuple(world.frame_shape) != tuple(lam.frame_shape):
        raise UserError(
            f"{name} shows frames of {world.frame_shape}, the latent action model of "
            f"{lam.frame_shape}; compare worlds of one size"
        )
    kind = takes(world)
    if kind == LATENT:
        made_by = codes_of(world)
        if made_by and made_by != lam.fingerprint():
            raise UserError(
                f"{name} obeys the codes of another latent action model ({made_by[:12]}) than the "
                f"one that the clips are read with ({lam.fingerprint()[:12]}, step {lam.step}); "
                "evaluate it by itself"
            )
        return Player(name, world, kind, chosen_budgets(world, budgets))
    given = tuple(getattr(world, "action_names", ()))
    if kind == TRUE and given != tuple(names):
        raise UserError(
            f"{name} is commanded by the true actions {', '.join(given)}, and the data have "
            f"{', '.join(names) or 'none that are discrete'}; give the data that it was trained on, "
            "or leave it out"
        )
    return Player(name, world, kind, (None,))
