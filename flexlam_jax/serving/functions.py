"""What is exported of a model: pure functions of batches, told in words.

A kind of model is exported by a module in `kinds.EXPORTERS` with

    exported(model, settings) -> Exported
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from flexlam_jax.errors import UserError

ROWS = "b"  # The size of a batch that the caller chooses.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")  # As `jax.export` names them.
SENTENCES = "sentences"  # Name of the array that holds what a policy reads of sentences.


class Argument(NamedTuple):
    """An array that a function reads.

    shape: a text in it is a size that the caller chooses, as ROWS.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: Any
    meaning: str


@dataclasses.dataclass(frozen=True)
class Function:
    """A function with parameters inside.

    Attributes:
      does: in words.
      arguments: in the order of the call.
      results: name -> meaning.
      call: arrays -> {name of a result: array}; is traced, also with a symbolic number of rows.
      limits: what holds of sizes that arguments name, as "t <= 3".
    """

    name: str
    does: str
    arguments: tuple[Argument, ...]
    results: Mapping[str, str]
    call: Callable[..., Mapping[str, jax.Array]]
    limits: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Exported:
    """All of a model that is exported.

    Attributes:
      fingerprint: sha256 of its parameters.
      facts: JSON-able, what a caller has to know besides shapes.
      arrays: name -> NumPy array, tables that a caller needs beside the functions.
    """

    functions: tuple[Function, ...]
    fingerprint: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """How a model is exported.

    Attributes:
      platforms: of PLATFORMS; one file serves them all.
      batch: rows of every call; None leaves them to the caller.
      draws: how many latent actions a token policy draws at once.
      steps: in which dynamics sample a frame; None for their own number.
      sentences: those that a policy is told tasks by.
    """

    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    batch: int | None = None
    draws: int = 16
    steps: int | None = None
    sentences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.platforms if name not in PLATFORMS]
        if unknown or not self.platforms or len(set(self.platforms)) < len(self.platforms):
            raise UserError(
                f"platforms are {', '.join(self.platforms) or 'none'}; give each once, of "
                f"{', '.join(PLATFORMS)}"
            )
        for name, value in (("batch", self.batch), ("draws", self.draws), ("steps", self.steps)):
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; give 1 or more")


def frames_of(name: str, shape: tuple[int | str, ...], meaning: str) -> Argument:
    """An argument of uint8 frames; shape: of a row."""
    return Argument(name, (ROWS, *shape), np.uint8, meaning)
