"""Several streams of batches side by side: few labelled rows and many action-free ones, say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.loading.batch_layout import Batch
from data_pipelines.loading.loader import TrainingBatches, training_batches
from data_pipelines.loading.row_order import named_seed


def joint_batches(
    streams: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    batch_size: Mapping[str, int],
    process_index: int = 0,
    process_count: int = 1,
    rows: Mapping[str, Sequence[int]] | None = None,
) -> JointBatches:
    """One batch of every stream per step: {"labelled": batch, "video": batch}.

    Each stream is `training_batches` of its own config, with a seed that depends on `seed` and the
    stream's name only: changing, adding or removing one leaves the rows of the others alone.

    Args:
      streams: {name: config of training_batches}.
      batch_size: {name: global rows of that stream}, the same names.
      process_index, process_count: as for training_batches.
      rows: {name: rows of that stream to read}, instead of the two.

    Raises:
      DataError: as training_batches, with the stream's name; no streams, or other names in
        batch_size or rows.
    """
    if not streams or set(streams) != set(batch_size) or set(streams) != set(rows or streams):
        raise DataError(
            f"joint batches of {sorted(streams)} with batch sizes for {sorted(batch_size)} and "
            f"rows of {sorted(rows or streams)}; give at least one stream, one batch size per "
            "stream, and rows of all streams or of none"
        )
    opened = {}
    for name, config in streams.items():
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
            raise DataError(f"stream {name!r}: {error}") from error
    return JointBatches(opened)


class JointBatches(Iterator[dict[str, Batch]]):
    """TrainingBatches in step: the state {"next_index": n} is that of every stream."""

    def __init__(self, streams: Mapping[str, TrainingBatches]):
        self.streams = dict(streams)

    def __iter__(self) -> JointBatches:
        return self

    def __next__(self) -> dict[str, Batch]:
        return {name: next(batches) for name, batches in self.streams.items()}

    def get_state(self) -> dict[str, int]:
        return next(iter(self.streams.values())).get_state()

    def set_state(self, state: Mapping[str, int]) -> None:
        for batches in self.streams.values():
            batches.set_state(state)

    def close(self) -> None:
        """Stops reading ahead; the iterator can be used again."""
        for batches in self.streams.values():
            batches.close()
