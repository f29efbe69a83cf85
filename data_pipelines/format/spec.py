"""What one dataset of a folder is: frames, labels, origin. Plain data, JSON both ways."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.maps import DEPTH, MASKS
from data_pipelines.names import check_name
from data_pipelines.typed_json import as_type

LABELS = ("action", "reward", "state")
# Larger frames are no frames but a trap for memory: 192 MB is a picture of 8000 x 8000.
LARGEST_FRAME = 192_000_000  # bytes
FASTEST = 1_000_000  # frames per second; faster cameras film for microseconds
_MOST_FRAMES = 2**31 - 1  # of a record: the index holds int32


@dataclasses.dataclass(frozen=True)
class ActionSpec:
    """Discrete (`names` lists the actions) or continuous (`names` lists the dimensions).

    low and high bound every dimension of a continuous action, both included; None: no bound known.
    """

    kind: str  # 'discrete' | 'continuous'
    names: tuple[str, ...]
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        if self.kind not in ("discrete", "continuous") or not self.names:
            raise DataError(f"action spec needs a kind and names, got {self}")
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if not all(isinstance(bound, numbers.Real) for bound in bounds):
            raise DataError(
                f"action spec needs one number as low and one as high, for all dimensions, got "
                f"{self}"
            )
        if not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
            raise DataError(f"action spec needs finite bounds, low <= high, got {self}")

    @property
    def count(self) -> int:
        """Number of actions (discrete) or of dimensions (continuous)."""
        return len(self.names)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int32 if self.kind == "discrete" else np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action: () or (A,)."""
        return () if self.kind == "discrete" else (len(self.names),)

    def fault(self, actions: np.ndarray) -> str:
        """What is wrong with these actions (T, ...), or '' if all are in range."""
        low, high = self.low, self.high
        if self.kind == "discrete":
            low, high = 0, self.count - 1
        if not actions.size:
            return ""
        lowest, highest = actions.min(), actions.max()
        if (low is not None and lowest < low) or (high is not None and highest > high):
            return f"actions {lowest:g}..{highest:g}, expected {low}..{high}"
        return ""


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One dataset: episodes of one kind, encoded one way.

    A record holds `clip_stride + max_span` consecutive frames at most, and owns the transitions
    that start at its first `clip_stride` frames; so every transition has one owner and every window
    (t, t + span) with span <= max_span lies inside the record that owns t.

    Datasets of one folder with the same non-empty `recording` are synchronous: equal episode and
    time mean the same instant, seen by another `camera` or with another `exogenous` process (a
    background, a distractor; not caused by the agent).

    exogenous_state names those of `state_names` that the agent does not control (what a distractor
    did); all other columns of the state are endogenous.
    """

    name: str
    image_shape: tuple[int, int, int]  # H, W, C
    codec: str
    action: ActionSpec | None = None
    has_reward: bool = False
    state_names: tuple[str, ...] = ()
    behaviour: str = ""
    frame_skip: int = 1  # simulator tics per stored frame
    fps: float = 0.0  # stored frames per second; 0 = unknown
    camera: str = ""
    recording: str = ""
    exogenous: str = ""
    exogenous_state: tuple[str, ...] = ()
    clip_stride: int = 8
    max_span: int = 8
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_name(self.name, "dataset")
        get_codec(self.codec)
        shape = self.image_shape
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > LARGEST_FRAME:
            raise DataError(
                f"dataset {self.name}: image_shape is {shape}; use (H, W, C), each at least 1, and "
                f"{LARGEST_FRAME} bytes at most"
            )
        if not 0 <= self.fps <= FASTEST:  # NaN neither
            raise DataError(
                f"dataset {self.name}: fps is {self.fps}; use stored frames per second, {FASTEST} "
                "at most, or 0 where nobody knows"
            )
        lacking = [name for name in self.exogenous_state if name not in self.state_names]
        if lacking or len(set(self.exogenous_state)) < len(self.exogenous_state):
            raise DataError(
                f"dataset {self.name}: exogenous_state is {self.exogenous_state}; name columns of "
                f"the state, each once: {', '.join(self.state_names) or 'it has none'}"
            )
        for field in ("clip_stride", "max_span", "frame_skip"):
            if not 1 <= getattr(self, field) <= _MOST_FRAMES:
                raise DataError(
                    f"dataset {self.name}: {field} is {getattr(self, field)}, it must be at least 1"
                    f" and at most {_MOST_FRAMES}"
                )

    @property
    def is_mask(self) -> bool:
        """Whether the pictures are 0 and 255 only: masks of the frames beside them."""
        return self.image_shape[2] == 1 and self.camera in MASKS

    @property
    def is_map(self) -> bool:
        """Whether the pictures tell of the pixels of other frames and are no frames themselves."""
        return self.image_shape[2] == 1 and self.camera in (*MASKS, DEPTH)

    @property
    def labels(self) -> tuple[str, ...]:
        """Which of LABELS the records hold."""
        held = {
            "action": self.action is not None,
            "reward": self.has_reward,
            "state": bool(self.state_names),
        }
        return tuple(label for label in LABELS if held[label])

    def to_json(self) -> dict[str, Any]:
        written = dataclasses.asdict(self) | {"labels": self.labels}
        if not self.exogenous_state:  # folders without distractors stay as they were, to the byte
            del written["exogenous_state"]
        return written

    @classmethod
    def from_json(cls, data: dict[str, Any], where: str = "dataset spec") -> DatasetSpec:
        """The spec that `to_json` wrote; raises DataError with `where` for what does not fit."""
        return as_type(data, cls, where=where)
