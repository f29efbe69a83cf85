"""`prepare robomimic`: HDF5 demonstrations in robomimic's layout, of any robot and simulator.

A command of its own beside `libero`: LIBERO's files have this layout too, with conventions that
hold for LIBERO only (two cameras, pictures upside down, seven actions in [-1, 1], the observation
of a row taken *after* its action) and would turn other people's data upside down and shift their
actions.

Layout (robomimic's docs/datasets/overview): the group `data` has the attribute `env_args` (JSON:
env_name, env_kwargs) and one group `demo_N` per demonstration with actions (T, A), perhaps rewards
(T,) and states, obs/<camera>_image (T, H, W, 3) uint8, upright, and obs/<other> (T, ...), which are
observed *before* the action of their row. next_obs/<same> is obs one row later; its last row is the
observation after the last action. mask/train and mask/valid list the names of demonstrations.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.spec import ActionSpec
from data_pipelines.names import plain_name
from data_pipelines.readers.cameras import camera_datasets, camera_specs, parse_cameras
from data_pipelines.readers.files import hdf5_files, lost_files, paths
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.robomimic import demos

DESCRIPTION = "robomimic-style HDF5 demonstrations (MimicGen, RoboCasa and others)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser, size=224, source="folder of .hdf5 files with groups data/demo_N", formats=("hdf5",)
    )
    parser.add_argument(
        "--cameras",
        default="",
        help="datasets of obs with pictures, by comma, `_image` may be left out; default: all of "
        "the first demonstration. One dataset per environment and camera",
    )
    parser.add_argument("--action", default="actions", help="dataset of a demonstration (T, A)")
    parser.add_argument(
        "--state",
        default="",
        help="datasets of obs to join as state, by comma, e.g. "
        "robot0_eef_pos,robot0_eef_quat,robot0_gripper_qpos; default: none",
    )
    parser.add_argument(
        "--upside-down", action="store_true", help="pictures are stored with their last row first"
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    return frame_options(args) | {
        "format": args.format,
        "cameras": parse_cameras(args.cameras) if args.cameras else [],
        "action": args.action,
        "state": [name.strip() for name in args.state.split(",") if name.strip()],
        "upside_down": args.upside_down,
    }


def plan(options: dict[str, Any]) -> Plan:
    root = paths.source_folder(options["source"])
    listing = list_files(root, hdf5_files.SUFFIXES, follow_links=follow_links(options))
    lost = lost_files.unknown(listing.skipped)
    found = Plan([], [], lost, passed_over=listing.passed_over())
    shapes: dict[str, demos.Shape] = {}
    for path in listing.files:
        file = path.relative_to(root).as_posix()
        try:
            _add_file(found, shapes, path, file, options)
        except ItemError as error:
            entry = Skipped(file, error.reason, str(error), episodes=error.episodes)
            found.skipped.append(entry)
    if not found.items:
        reasons = "; ".join(entry.detail for entry in found.skipped[:3]) or "no .hdf5 or .h5 files"
        raise DataError(f"--source {root}: no demonstration can be used: {reasons}")
    found.skipped = lost_files.estimated(root, found.items, found.skipped)
    for base, shape in shapes.items():
        found.specs += _specs(base, shape, options)
    found.sources = {"folder": str(root), "files": len(listing.files), "format": "hdf5"}
    return found


def _add_file(
    found: Plan,
    shapes: dict[str, demos.Shape],
    path: pathlib.Path,
    file: str,
    options: dict[str, Any],
) -> None:
    """Adds the demonstrations of one file; raises ItemError where none can be used."""
    with hdf5_files.open_hdf5(path) as opened:
        data = hdf5_files.subgroup(opened, "data")
        names = hdf5_files.demo_names(data)
        try:
            shape, splits = demos.shape_of(data, names, options), demos.published_splits(opened)
        except ItemError as error:
            raise ItemError(error.reason, str(error), episodes=len(names)) from None
        sizes = hdf5_files.demo_sizes(data, names, options["action"])
    base = plain_name(shape.environment or path.stem, "env")
    known = shapes.setdefault(base, shape)
    if shape != known:
        raise ItemError(
            "wrong shape",
            f"{file}: differs from the other files of {base}: {shape}, they have {known}; prepare "
            "it alone",
            episodes=len(names),
        )
    for name, size in zip(names, sizes, strict=True):
        payload = {
            "file": file,
            "demo": name,
            "base": base,
            "cameras": list(shape.cameras),
            "reward": shape.reward,
            "split": splits.get(name),
        }
        found.items.append(Item(f"{file}:{name}", payload, size))


def _camera_names(cameras: Sequence[str]) -> list[str]:
    """agentview_image -> agentview; the whole names where they would be equal then."""
    short = [plain_name(camera.removesuffix(demos.IMAGE)) for camera in cameras]
    return short if len(set(short)) == len(short) else [plain_name(camera) for camera in cameras]


def _specs(base: str, shape: demos.Shape, options: dict[str, Any]):
    state_names = [
        f"{key}_{i}" if width > 1 else key
        for key, width in zip(options["state"], shape.state, strict=True)
        for i in range(width)
    ]
    return camera_specs(
        base,
        _camera_names(shape.cameras),
        action=ActionSpec("continuous", tuple(f"action_{i}" for i in range(shape.action))),
        has_reward=shape.reward,
        state_names=tuple(state_names),
        behaviour="demonstrations",
        fps=shape.fps,
        details={
            "cameras": shape.cameras,
            "action": options["action"],
            "alignment": "action t leads from frame t to frame t + 1",
            "upside_down": options["upside_down"],
        },
        **record_fields(options),
    )


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    """One recording per demonstration; raises ItemError for one that cannot be used."""
    where, root = item.payload, paths.source_folder(options["source"])
    path = paths.inside(root, where["file"], follow_links=follow_links(options))
    keys = options["state"]
    with hdf5_files.open_hdf5(path) as opened:
        data = hdf5_files.subgroup(opened, "data")
        demo = hdf5_files.subgroup(data, where["demo"])
        actions = hdf5_files.read_array(demo, options["action"], -1)
        demos.check_lengths(demo, len(actions), where["cameras"])
        rewards = hdf5_files.read_array(demo, "rewards") if where["reward"] else None
        whole = demos.has_last(demo, [*where["cameras"], *keys], len(actions))
        state = demos.read_state(demo, keys, whole)
        language = demos.language_of(data, demo)
        task = demos.environment_of(data)[0]
    steps = len(actions) if whole else len(actions) - 1
    names = camera_datasets(where["base"], _camera_names(where["cameras"]))
    yield Recording(
        name=item.name,
        frames={
            dataset: _pictures(path, where["demo"], camera, whole, options)
            for dataset, camera in zip(names.values(), where["cameras"], strict=True)
        },
        action=actions[:steps],
        reward=None if rewards is None else rewards[:steps],
        state=state,
        episode_return=0.0 if rewards is None else float(rewards.sum()),
        split=where["split"],
        metadata={
            "language": language,
            "task": task,
            "file": where["file"],
            "demo": where["demo"],
            "num_samples": len(actions),
        },
    )


def _pictures(path, demo: str, camera: str, whole: bool, options) -> Iterator[np.ndarray]:
    for frame in _stored(path, demo, camera, whole):
        frame = frame[::-1] if options["upside_down"] else frame
        yield fit_frame(frame, options["size"], options["fit"])


def _stored(path, demo: str, camera: str, whole: bool) -> Iterator[np.ndarray]:
    yield from hdf5_files.iter_frames(path, f"data/{demo}", f"obs/{camera}")
    if whole:
        yield from hdf5_files.iter_frames(path, f"data/{demo}", f"next_obs/{camera}", first=-1)
