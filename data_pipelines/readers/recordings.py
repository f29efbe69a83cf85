"""What a reader of files hands over: a plan of items, and the recordings of each item.

A *reader* is a recipe (see registry.py) of a published format. It has two functions:

    plan(options) -> Plan                          lists the source; opens metadata only, no pixels
    read(item, options) -> Iterator[Recording | Skipped]     the recordings of one item

`plan` runs once, `read` on any worker of any machine: both are plain functions of their arguments,
and everything an item needs is in the item. An item is the unit of skipping: an exception out of
`read` skips what the item has not yielded yet. What `read` yields before is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec


class ItemError(DataError):
    """One item or recording cannot be used.

    reason: its class in the manifest's counts. episodes, frames: how much is lost with it, where
    that is known; see Skipped.
    """

    def __init__(
        self, reason: str, detail: str, *, episodes: int | None = None, frames: int | None = None
    ):
        super().__init__(detail)
        self.reason, self.episodes, self.frames = reason, episodes, frames

    def __reduce__(self):  # exceptions cross process borders
        return _item_error, (self.reason, str(self), self.episodes, self.frames)


def _item_error(reason, detail, episodes, frames) -> ItemError:
    return ItemError(reason, detail, episodes=episodes, frames=frames)


@dataclasses.dataclass(frozen=True)
class Item:
    """A piece of the source that one worker reads alone: a file, a demo in it, a range of rows.

    name: unique, the same on every machine and run: a path relative to the source, perhaps with a
    key ("libero_goal/open_the_drawer_demo.hdf5:demo_3"). payload: JSON-able, all that `read` needs
    beside the options. size: bytes, or any measure of work that is comparable between items.
    episodes: how many it holds; None where nobody knows before it is read.
    """

    name: str
    payload: dict[str, Any] = dataclasses.field(default_factory=dict)
    size: int = 1
    episodes: int | None = 1


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Something that was left out, for the manifest.

    reason: a short class, e.g. "missing clip"; detail: the whole story; expected: the publisher's
    own tables rule it out, so it does not count against --max-failures. episodes: how many are lost
    with it, None if nobody knows (a file that cannot be opened is then taken to hold `about` as
    many, or, without that estimate, as many as the others do on average). frames: how many frames
    are lost, at the rate that is kept; None if nobody knows (then as many as an average episode
    has, for each).
    """

    name: str
    reason: str
    detail: str
    expected: bool = False
    episodes: int | None = 1
    frames: int | None = None
    about: int | None = None


def failures(skipped: Iterable[Skipped]) -> list[Skipped]:
    """Those that count against --max-failures."""
    return [entry for entry in skipped if not entry.expected]


@dataclasses.dataclass
class Recording:
    """One episode of N frames, seen by one or more cameras.

    frames: dataset name -> N frames uint8 (H, W, C) of that dataset's image shape; a generator is
    fine, and is consumed once. All datasets of a recording show the same instants. action (N-1,
    ...), reward float32 (N-1,) and state float32 (N, S) as the specs declare: action t and reward t
    belong to the step from frame t to t + 1. group: recordings of one group share a split (default:
    its own name). split: the published split, or None. metadata: JSON-able facts of this episode,
    `language` first of all.
    """

    name: str
    frames: Mapping[str, Iterable[np.ndarray]]
    action: np.ndarray | None = None
    reward: np.ndarray | None = None
    state: np.ndarray | None = None
    episode_return: float = 0.0
    group: str | None = None
    split: str | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Plan:
    """What a reader found.

    specs: every dataset that recordings may name. items: in natural order; that is the order of
    episodes. skipped: what is known to be unusable without opening it. sources: JSON-able facts
    (versions, folder, counts of files). one_recording_per_item: False where items may
    hold other numbers than their `episodes` say; a job then cannot stop early for its failures.
    passed_over: files of the source that are none of this reader's; see listing.Listing.
    """

    specs: list[DatasetSpec]
    items: list[Item]
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    sources: dict[str, Any] = dataclasses.field(default_factory=dict)
    one_recording_per_item: bool = True
    passed_over: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
