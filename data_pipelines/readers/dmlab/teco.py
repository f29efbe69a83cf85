"""The DMLab videos of TECO: `{train,test}/**/*.npz` with `video` and `actions`.

video uint8 (300, 64, 64, 3) RGB, actions integer (300,) in {0, 1, 2}, published without names.

Alignment: actions[t] is taken at frame t, so the last one leads nowhere and is dropped (AdaWorld's
docs/ADAPTATION.md states the same, and that the Minecraft set of the same authors is shifted by
one; this reader is for DMLab only). Frames per second are not stated by the publisher.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.format.spec import ActionSpec
from data_pipelines.readers.dmlab.levels import (
    channel_order,
    level_dataset,
    level_spec,
    upright_rgb,
)
from data_pipelines.readers.files import labels
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.files.npz import array_names, read_npz
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording

LAYOUT = "{train,test}/**/*.npz (TECO)"
LEVEL = "teco"
ACTIONS = ActionSpec("discrete", ("action_0", "action_1", "action_2"))


def find(root: pathlib.Path, links: bool = True) -> list[pathlib.Path]:
    """The npz files below train/ and then test/ of `root` or of `root`/dmlab, in natural order."""
    return [path for listing in _lists(root, links) for path in listing.files]


def _lists(root: pathlib.Path, links: bool) -> list[Listing]:
    bases = (base / split for base in (root, root / "dmlab") for split in ("train", "test"))
    return [list_files(base, (".npz",), follow_links=links) for base in bases if base.is_dir()]


def plan(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    order = channel_order(options, "rgb")
    spec = level_spec(
        LEVEL,
        options,
        ACTIONS,
        {"channels_of_source": order},
        behaviour="not stated by the publisher",
        frame_skip=1,
        fps=0.0,
        has_reward=False,
    )
    items, skipped, passed_over = [], [], {}
    for listing in _lists(root, follow_links(options)):
        inside = listing.root.relative_to(root)
        skipped += [
            dataclasses.replace(entry, name=str(inside / entry.name)) for entry in listing.skipped
        ]
        passed_over |= listing.passed_over()
    for path in find(root, follow_links(options)):
        name = path.relative_to(root)
        split = name.parts[1] if name.parts[0] == "dmlab" else name.parts[0]
        items.append(Item(str(name), {"split": split}, path.stat().st_size))
    return Plan([spec], items, skipped, {"files": len(items)}, passed_over=passed_over)


def read(item: Item, root: pathlib.Path, options: dict[str, Any]) -> Iterator[Recording]:
    video, action = _arrays(root / item.name)
    yield Recording(
        item.name,
        {level_dataset(LEVEL): upright_rgb(video, channel_order(options, "rgb"), options)},
        action=labels.choices(action[:-1], f"{item.name}: actions"),
        split=item.payload["split"],
    )


def _arrays(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    held = read_npz(path, ("video", "actions").__contains__)
    if len(held) < 2:
        names = ", ".join(array_names(path)) or "nothing"
        raise ItemError("missing array", f"{path}: expected video and actions, has {names}")
    video, action = held["video"], held["actions"]
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
        raise ItemError("wrong video", f"{path}: video is {video.dtype} {video.shape}")
    if action.shape != video.shape[:1] or not np.issubdtype(action.dtype, np.integer):
        raise ItemError(
            "step count", f"{path}: actions are {action.dtype} {action.shape}, video {video.shape}"
        )
    return video, action
