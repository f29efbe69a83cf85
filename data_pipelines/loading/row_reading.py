"""From row references to a filled batch: every record read once, every frame of it decoded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.format.clips import Clip
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.action_chunks import ChunkPiece, chunk_pieces, frame_pieces
from data_pipelines.loading.batch_layout import PAIR, TEXTS, Batch, BatchLayout
from data_pipelines.loading.episode_texts import EpisodeTexts
from data_pipelines.loading.mixture import OpenedDataset
from data_pipelines.loading.pairing import PairedDatasets
from data_pipelines.loading.row_order import RowReference
from data_pipelines.loading.sidecar_columns import SidecarColumns
from data_pipelines.loading.views import CameraViews
from data_pipelines.loading.windows import ClipReader


@dataclasses.dataclass
class OpenedData:
    """All that rows are read from; picklable. None: not asked for."""

    datasets: list[OpenedDataset]
    layout: BatchLayout
    pairs: PairedDatasets | None = None
    views: CameraViews | None = None
    texts: EpisodeTexts | None = None
    sidecars: SidecarColumns | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a batch's `dataset` counts."""
        return tuple(dataset.key for dataset in self.datasets)

    @property
    def pair_names(self) -> tuple[str, ...]:
        """What `dataset_pair` counts."""
        return self.pairs.names if self.pairs else ()

    @property
    def languages(self) -> tuple[str, ...]:
        """What `language` counts."""
        return self.texts.texts["language"] if self.texts else ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What `task` counts."""
        return self.texts.texts["task"] if self.texts else ()


class _Use(NamedTuple):
    """One row's frames in a record: offset .. offset + gap * (T-1), into batch[key][row]."""

    key: str
    row: int
    offset: int
    gap: int


class _Wanted(NamedTuple):
    """What rows want of the records, so that each is read once."""

    frames: dict[tuple[ClipReader, int], list[_Use]]
    actions: dict[tuple[ClipReader, int], list[tuple[int, ChunkPiece]]]
    chunks: dict[tuple[ClipReader, int], list[tuple[int, ChunkPiece]]]  # Of frames.


def read_rows(rows: Sequence[RowReference], data: OpenedData) -> Batch:
    """The batch of these rows; see loader.training_batches."""
    batch = data.layout.empty(len(rows))
    wanted = _Wanted({}, {}, {})
    for row, reference in enumerate(rows):
        _want_row(batch, row, reference, data, wanted)
    for place in wanted.frames | wanted.actions | wanted.chunks:
        reader, record = place
        clip = reader.clip(record)
        if place in wanted.frames:
            _read_clip(batch, clip, reader.spec, wanted.frames[place], data.layout)
        for row, piece in wanted.actions.get(place, ()):
            data.layout.write_chunk(batch, row, clip, reader.spec, piece)
        if place in wanted.chunks:
            _read_frame_chunks(batch, clip, reader.spec, wanted.chunks[place])
    return data.sidecars.join(batch) if data.sidecars else batch


def _want_row(
    batch: Batch, row: int, reference: RowReference, data: OpenedData, wanted: _Wanted
) -> None:
    """Fills what is known of a row without its records, and adds what it wants of them."""
    number, window, gap, paired = reference
    dataset = data.datasets[number]
    reader = dataset.reader
    record, offset = dataset.windows.locate(window)
    episode, start = reader.index[record, :2]
    batch["gap"][row] = gap
    batch["episode"][row] = episode
    batch["t"][row] = start + offset
    batch["dataset"][row] = number

    def want(key: str, reader: ClipReader) -> None:
        wanted.frames.setdefault((reader, record), []).append(_Use(key, row, offset, gap))

    want("frames", reader)
    if paired >= 0:
        batch["dataset_pair"][row] = paired
        want(PAIR, data.pairs.readers[paired])
    if data.views:
        for key, of_camera in data.views.readers[number].items():
            want(key, of_camera)
    if data.texts:
        for field, text in zip(TEXTS, data.texts.numbers(number, episode), strict=True):
            batch[field][row] = text
    if data.layout.chunk and reader.spec.action:
        for piece in chunk_pieces(reader, record, offset, data.layout.chunk):
            wanted.actions.setdefault((reader, piece.record), []).append((row, piece))
    if data.layout.frame_chunk:
        for piece in frame_pieces(reader, record, offset, data.layout.frame_chunk):
            wanted.chunks.setdefault((reader, piece.record), []).append((row, piece))


def _read_clip(
    batch: Batch, clip: Clip, spec: DatasetSpec, uses: list[_Use], layout: BatchLayout
) -> None:
    """Fills the rows that one record serves.

    All of them are of one size: without resizing that of the dataset, else that of the batch.
    """
    steps = np.arange(layout.clip_length)
    windows = [use.offset + use.gap * steps for use in uses]
    if len(uses) == 1:  # Nothing to share: decode in place.
        use = uses[0]
        out = batch[use.key][use.row]
        if out.shape[1:] == spec.image_shape:
            clip.decode_frames(windows[0], out=out)
        else:
            out[:] = _decode(clip, windows[0], out.shape[1:], spec)
    else:
        offsets, places = np.unique(np.stack(windows), return_inverse=True)
        frames = _decode(clip, offsets, batch[uses[0].key].shape[2:], spec)
        for use, place in zip(uses, places.reshape(len(uses), -1), strict=True):
            batch[use.key][use.row] = frames[place]
    if layout.reads_labels:
        for use, offsets in zip(uses, windows, strict=True):
            if use.key == "frames":
                layout.write_labels(batch, use.row, clip, spec, offsets, use.gap)


def _read_frame_chunks(
    batch: Batch, clip: Clip, spec: DatasetSpec, uses: list[tuple[int, ChunkPiece]]
) -> None:
    """Fills what one record holds of the rows' chunks of frames; each frame is decoded once."""
    held = np.unique(np.concatenate([piece.first + np.arange(piece.count) for _, piece in uses]))
    frames = _decode(clip, held, batch["frame_chunk"].shape[2:], spec)
    for row, piece in uses:
        place = slice(piece.place, piece.place + piece.count)
        first = np.searchsorted(held, piece.first)
        batch["frame_chunk"][row, place] = frames[first : first + piece.count]
        batch["frame_chunk_mask"][row, place] = True


def _decode(
    clip: Clip, offsets: np.ndarray, shape: tuple[int, int, int], spec: DatasetSpec
) -> np.ndarray:
    """uint8 (N, H, W, C) of this shape; other sizes are resized by area, after a centre crop, where
    a pixel of a mask is set if at least half of what it shows was."""
    frames = clip.decode_frames(offsets)
    if frames.shape[1:] == shape:
        return frames
    frames = np.stack([fit_frame(frame, shape[0], "crop") for frame in frames])
    return np.where(frames >= 128, 255, 0).astype(np.uint8) if spec.is_mask else frames
