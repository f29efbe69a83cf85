"""What a binary needs to know of a model family to train it, plan it and time it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flexlam_jax.objectives.objective import Objective
from flexlam_jax.training.batches import DataIterator
from flexlam_jax.training.loop import Evaluate


@dataclasses.dataclass(frozen=True)
class Task:
    """A config, built. No record is read and nothing is on a device until a function is called.

    Attributes:
      objective: what is trained. The model behind it is built once.
      batch: global shapes of a batch, a pytree of ShapeDtypeStructs: what the objective reads.
      data: `(rows) -> ` endless iterator of the rows of each global batch that this process holds
        (`sharding.process_rows`). Opens the data now; raises DataError.
      data_hashes: `() -> {name: sha256}` of everything that `data` and `evaluators` read.
      evaluators: `(rows) -> ` functions of the training state, each of which returns scalars for
        metrics.jsonl; none where the config asks for none. Opens the data now.
      beside: `() -> {name: content}` of small files that whoever loads the run reads too: they go
        into the folder of its steps.
      config: the config with what the task read in its data, as the names of actions: the run is
        recorded with it. None for the config as it was given.
    """

    objective: Objective
    batch: Any
    data: Callable[[Sequence[int]], DataIterator]
    data_hashes: Callable[[], Mapping[str, str]]
    evaluators: Callable[[Sequence[int]], Sequence[Evaluate]] = lambda rows: ()
    beside: Callable[[], Mapping[str, bytes]] = dict
    config: Any = None
