"""What `experiments/benchmark.py --sweep` changes, one thing at a time."""

import copy
from collections.abc import Callable
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.models.transformer import REMAT_NAMES


def variations(config: Any, name: str) -> list[Any]:
    """Configs that differ from `config` in what the sweep `name` (a key of SWEEPS) changes only.

    Raises:
      UserError: the preset does not have what is to be changed.
    """
    values, change = SWEEPS[name]
    varied = [copy.deepcopy(config) for _ in values]
    for one, value in zip(varied, values, strict=True):
        change(one, value)
    return varied


def _batch(config, factor):
    config.batch_size = max(1, round(config.batch_size * factor))


def _resolution(config, factor):
    config.model.image_size = round(config.model.image_size * factor)


def _clip(config, frames):
    """At about the same number of transitions."""
    transitions = config.batch_size * (config.data.clip_length - 1)
    config.data.clip_length, config.batch_size = frames, max(1, round(transitions / (frames - 1)))


def _slots(config, count):
    config.model.slots = count


def _parameters(config, factor):
    """Width, heads and hidden units of a ViT; parameters grow with the square."""
    for part in (config.model.encoder, config.model.decoder):
        if part.kind != "vit":
            raise UserError("--sweep=parameters needs a preset of ViTs")
        for key in ("width", "heads", "mlp_hidden"):
            part[key] = round(part[key] * factor)


def _remat(config, policy):
    config.model.remat = policy


# Name -> (values, how one is put into a config).
SWEEPS: dict[str, tuple[tuple, Callable[[Any, Any], None]]] = {
    "batch": ((0.25, 0.5, 1, 2), _batch),
    "resolution": ((0.5, 1, 2), _resolution),
    "clip": ((2, 4, 8, 16), _clip),
    "slots": ((1, 2, 4, 8, 16), _slots),
    "parameters": ((0.5, 1, 2), _parameters),
    "remat": (REMAT_NAMES, _remat),
}
