"""Several streams of batches side by side: few labelled rows and many action-free ones, say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.loading.batch_layout import Batch
from data_pipelines.loading.loader import TrainingBatches, training_batches
from data_pipelines.loading.row_order import named_seed


def joint_batches(
    parts: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    batch_size: Mapping[str, int],
    process_index: int = 0,
    process_count: int = 1,
    rows: Mapping[str, Sequence[int]] | None = None,
) -> JointBatches:
    """One batch of every part per step: {"labelled": batch, "video": batch}.

    Each part is `training_batches` of its own config, with a seed that depends on `seed` and the
    part's name only: changing, adding or removing one part leaves the rows of the others alone.

    Args:
      parts: {name: config of training_batches}.
      batch_size: {name: global rows of that part}, the same names.
      process_index, process_count: as for training_batches.
      rows: {name: rows of that part to read}, instead of the two.

    Raises:
      DataError: as training_batches, with the part's name; no parts, or other names in batch_size
        or rows.
    """
    if not parts or set(parts) != set(batch_size) or set(parts) != set(rows or parts):
        raise DataError(
            f"joint batches of {sorted(parts)} with batch sizes for {sorted(batch_size)} and rows "
            f"of {sorted(rows or parts)}; give at least one part, one batch size per part, and rows "
            "of all parts or of none"
        )
    opened = {}
    for name, config in parts.items():
        try:
            opened[name] = training_batches(
                config,
                seed=named_seed(seed, name),
                batch_size=batch_size[name],
                process_index=process_index,
                process_count=process_count,
                rows=rows[name] if rows else None,
            )
        except DataError as error:
            raise DataError(f"part {name!r}: {error}") from error
    return JointBatches(opened)


class JointBatches(Iterator[dict[str, Batch]]):
    """TrainingBatches in step: the state {"next_index": n} is that of every part."""

    def __init__(self, parts: Mapping[str, TrainingBatches]):
        self.parts = dict(parts)

    def __iter__(self) -> JointBatches:
        return self

    def __next__(self) -> dict[str, Batch]:
        return {name: next(batches) for name, batches in self.parts.items()}

    def get_state(self) -> dict[str, int]:
        return next(iter(self.parts.values())).get_state()

    def set_state(self, state: Mapping[str, int]) -> None:
        for batches in self.parts.values():
            batches.set_state(state)

    def close(self) -> None:
        """Stops reading ahead; the iterator can be used again."""
        for batches in self.parts.values():
            batches.close()
