"""From row references to a filled batch: every record read once, every frame of it decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.format.clips import Clip
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.batch_layout import Batch, BatchLayout
from data_pipelines.loading.mixture import Source
from data_pipelines.loading.pairing import Partners
from data_pipelines.loading.row_order import RowReference


class _Use(NamedTuple):
    """One row's frames in a record: offset .. offset + gap * (T-1), into batch[key][row]."""

    key: str
    row: int
    offset: int
    gap: int


def read_rows(
    rows: Sequence[RowReference],
    sources: list[Source],
    partners: Partners | None,
    layout: BatchLayout,
) -> Batch:
    """The batch of these rows; see loader.training_batches."""
    batch = layout.empty(len(rows))
    # Keyed by (source or -1 - partner, record).
    wanted: dict[tuple[int, int], list[_Use]] = {}
    for row, (number, window, gap, partner) in enumerate(rows):
        reader = sources[number].reader
        record, offset = sources[number].windows.locate(window)
        episode, start = reader.index[record, :2]
        batch["gap"][row] = gap
        batch["episode"][row] = episode
        batch["t"][row] = start + offset
        batch["dataset"][row] = number
        uses = wanted.setdefault((number, record), [])
        uses.append(_Use("frames", row, offset, gap))
        if partner >= 0:
            batch["dataset_pair"][row] = partner
            uses = wanted.setdefault((-1 - partner, record), [])
            uses.append(_Use("frames_pair", row, offset, gap))
    for (number, record), uses in wanted.items():
        reader = sources[number].reader if number >= 0 else partners.readers[-1 - number]
        _read_clip(batch, reader.clip(record), reader.spec, uses, layout)
    return batch


def _read_clip(
    batch: Batch, clip: Clip, spec: DatasetSpec, uses: list[_Use], layout: BatchLayout
) -> None:
    """Fills the rows that one record serves."""
    steps = np.arange(layout.clip_length)
    windows = [use.offset + use.gap * steps for use in uses]
    if len(uses) == 1:  # Nothing to share: decode in place.
        use = uses[0]
        out = batch[use.key][use.row]
        if out.shape[1:] == spec.image_shape:
            clip.decode_frames(windows[0], out=out)
        else:
            out[:] = _decode(clip, windows[0], out.shape[1:])
    else:
        offsets, places = np.unique(np.stack(windows), return_inverse=True)
        frames = _decode(clip, offsets, batch[uses[0].key].shape[2:])
        for use, place in zip(uses, places.reshape(len(uses), -1), strict=True):
            batch[use.key][use.row] = frames[place]
    if layout.fields and uses[0].key == "frames":
        for use, offsets in zip(uses, windows, strict=True):
            layout.write_labels(batch, use.row, clip, spec, offsets, use.gap)


def _decode(clip: Clip, offsets: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (N, H, W, C) of this shape; other sizes are resized by area, after a centre crop."""
    frames = clip.decode_frames(offsets)
    if frames.shape[1:] == shape:
        return frames
    return np.stack([fit_frame(frame, shape[0], "crop") for frame in frames])
