"""The arrays of a batch, and how one window's labels get into a row of them.

Datasets that differ in what they hold can share a batch (`unite`): then `action` is float32 (B,
T-1, A), A the widest action: one-hot for discrete actions, padded with zeros for continuous ones,
and `action_width` int32 (B,) is the number of columns in use, 0 where a dataset has no actions.
`reward` and `state` are zero where a dataset has none, and `has_reward`, `has_state` bool (B,) say
where. Where the datasets agree, batches are the same with and without `unite`. Actions of a chunk
and those between frames are united alike; their masks are false where a dataset has none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.clips import Clip, check_fields, label_type
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.loading.action_chunks import ChunkPiece
from data_pipelines.loading.options import LoaderOptions

Batch = dict[str, np.ndarray]
Shape = tuple[int, int, int]
TEXTS = ("language", "task")  # of an episode
PAIR = "frames_pair"  # the frames of a synchronous dataset


def window_fields(
    clip: Clip, offsets: np.ndarray, gap: int, fields: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The labels of a window whose frames lie at `offsets` (T,), `gap` apart.

    action (T-1, ...): the action taken at the first frame of each transition (the only one for gap
    = 1); reward float32 (T-1,): summed over the gap; state float32 (T, S): at the frames.
    """
    out = {}
    for field in fields:
        label = clip.decode_label(field)
        if field == "action":
            out[field] = label[offsets[:-1]]
        elif field == "reward":
            out[field] = np.stack([label[o : o + gap].sum() for o in offsets[:-1]])
        else:
            out[field] = label[offsets]
    return out


def united_actions(action: np.ndarray, spec: ActionSpec, width: int) -> np.ndarray:
    """float32 (T, width): one-hot of discrete actions (T,), or continuous ones (T, A) padded."""
    out = np.zeros((len(action), width), np.float32)
    if spec.kind == "discrete":
        out[np.arange(len(action)), action] = 1.0
    else:
        out[:, : spec.count] = action
    return out


class BatchLayout:
    """Shapes and types of a batch of windows of the datasets `specs`.

    Raises DataError if the datasets cannot share a batch with these fields.
    """

    def __init__(
        self,
        specs: list[DatasetSpec],
        options: LoaderOptions,
        image_shape: Shape,
        *,
        beside: Mapping[str, Shape] | None = None,
        longest_gap: int = 1,
    ):
        """Args: beside, other frames of a row, {key: shape}; longest_gap, in frames, of any row."""
        self.fields, self.clip_length = options.fields, options.clip_length
        self.image_shape = image_shape
        self.beside = dict(beside or {})
        self.chunk, self.texts = options.chunk, options.language
        self.frame_chunk = options.frame_chunk
        self.longest_gap = longest_gap if options.actions_between else 0
        # Whether the record of a window is asked for a label, be it only which of them it holds.
        self.reads_labels = bool(self.fields or self.chunk or self.longest_gap)
        self._types: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        self._masked: tuple[str, ...] = ()
        self.action_width = 0  # > 0: actions of different kinds are united
        for field in self.fields:
            self._add_field(field, specs, unite=bool(options.mixture))
        self._partial: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        if self.frame_chunk:
            self._partial["frame_chunk"] = (self.frame_chunk, *image_shape), np.dtype(np.uint8)
            self._partial["frame_chunk_mask"] = (self.frame_chunk,), np.dtype(np.bool_)
        if self.chunk or self.longest_gap:
            self._add_partial(*self._label_type("action", specs, unite=bool(options.mixture)))

    def _add_field(self, field: str, specs: list[DatasetSpec], unite: bool) -> None:
        shape, dtype = self._label_type(field, specs, unite)
        length = self.clip_length if field == "state" else self.clip_length - 1
        if field != "action" and any(field not in spec.labels for spec in specs):
            self._masked += (field,)
        self._types[field] = (length, *shape), dtype

    def _add_partial(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """The arrays of actions that are not full: each has a mask."""
        if self.chunk:
            self._partial["action_chunk"] = (self.chunk, *shape), dtype
            self._partial["action_chunk_mask"] = (self.chunk,), np.dtype(np.bool_)
        if self.longest_gap:
            lengths = self.clip_length - 1, self.longest_gap
            self._partial["actions_between"] = (*lengths, *shape), dtype
            self._partial["actions_between_mask"] = lengths, np.dtype(np.bool_)

    def _label_type(
        self, field: str, specs: list[DatasetSpec], unite: bool
    ) -> tuple[tuple[int, ...], np.dtype]:
        """(shape, dtype) of one time step; sets `action_width` where actions are united."""
        holders = [spec for spec in specs if field in spec.labels]
        for spec in specs if not (unite and holders) else specs[:0]:
            check_fields(spec, (field,))
        first = holders[0]
        for other in holders[1:]:
            differs = field == "state" and len(other.state_names) != len(first.state_names)
            if differs or (field == "action" and other.action != first.action and not unite):
                raise DataError(
                    f"datasets {first.name} and {other.name} differ in {field} and cannot share a "
                    f"batch with that field; drop {field!r} from fields or read them one at a time"
                    + (", or name them in data.mixture" if field == "action" else "")
                )
        if field == "action" and any(spec.action != first.action for spec in specs):
            self.action_width = max(spec.action.count for spec in holders)
            return (self.action_width,), np.dtype(np.float32)
        return label_type(first, field)

    def check_memory(self, rows: int, ahead: int) -> None:
        """Raises DataError if `ahead` batches of so many rows are more than this machine has."""
        pixels = sum(math.prod(shape) for shape in (self.image_shape, *self.beside.values()))
        partial = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._partial.values())
        needed = ahead * rows * (self.clip_length * pixels + partial)
        held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > held:
            raise DataError(
                f"{ahead} batches at once of {rows} rows, each {self.clip_length} frames of "
                f"{self.image_shape}, take {needed / 1e9:.0f} GB, this machine has "
                f"{held / 1e9:.0f} GB; lower the batch size, data.prefetch or data.clip_length"
            )

    def empty(self, rows: int) -> Batch:
        """Uninitialised arrays; see loader.training_batches."""
        batch = {"frames": np.empty((rows, self.clip_length, *self.image_shape), np.uint8)}
        scalars = {"gap": np.int32, "episode": np.int64, "t": np.int32, "dataset": np.int32}
        for key, shape in self.beside.items():
            batch[key] = np.empty((rows, self.clip_length, *shape), np.uint8)
        if PAIR in self.beside:
            scalars["dataset_pair"] = np.int32
        if self.texts:
            scalars |= dict.fromkeys(TEXTS, np.int32)
        if self.action_width:
            scalars["action_width"] = np.int32
        scalars |= {f"has_{field}": np.bool_ for field in self._masked}
        batch |= {name: np.empty(rows, dtype) for name, dtype in scalars.items()}
        for field, (shape, dtype) in self._types.items():
            batch[field] = np.empty((rows, *shape), dtype)
        for key, (shape, dtype) in self._partial.items():
            batch[key] = np.zeros((rows, *shape), dtype)
        return batch

    def write_labels(
        self, batch: Batch, row: int, clip: Clip, spec: DatasetSpec, offsets: np.ndarray, gap: int
    ) -> None:
        """Fills the labels and masks of one row; see write_chunk for those of a chunk."""
        held = tuple(field for field in self.fields if field in spec.labels)
        values = window_fields(clip, offsets, gap, held)
        if self.action_width:
            batch["action_width"][row] = spec.action.count if spec.action else 0
            if "action" in held:
                values["action"] = self._united(values["action"], spec)
        for field in self._masked:
            batch[f"has_{field}"][row] = field in held
        for field in self.fields:
            batch[field][row] = values.get(field, 0)
        if self.longest_gap and spec.action:
            between = (offsets[:-1, None] + np.arange(gap)).ravel()
            actions = self._united(clip.decode_label("action")[between], spec)
            batch["actions_between"][row, :, :gap] = actions.reshape(
                len(offsets) - 1, gap, *actions.shape[1:]
            )
            batch["actions_between_mask"][row, :, :gap] = True

    def write_chunk(
        self, batch: Batch, row: int, clip: Clip, spec: DatasetSpec, piece: ChunkPiece
    ) -> None:
        """Fills the actions of one row's chunk that one record holds."""
        actions = clip.decode_label("action")[piece.first : piece.first + piece.count]
        place = slice(piece.place, piece.place + piece.count)
        batch["action_chunk"][row, place] = self._united(actions, spec)
        batch["action_chunk_mask"][row, place] = True

    def _united(self, actions: np.ndarray, spec: DatasetSpec) -> np.ndarray:
        """Actions (T, ...) as this batch holds them."""
        if not self.action_width:
            return actions
        return united_actions(actions, spec.action, self.action_width)
