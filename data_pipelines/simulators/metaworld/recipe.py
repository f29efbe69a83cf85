"""`prepare metaworld`: recorded Meta-World episodes, as a LeRobot set or in HDF5 or npz files."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.readers import lerobot
from data_pipelines.readers.cameras import camera_datasets, camera_specs, parse_cameras
from data_pipelines.readers.files import paths
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording
from data_pipelines.simulators.metaworld import episodes
from data_pipelines.simulators.metaworld.labels import ACTION, ENVIRONMENT, PROPRIO, instruction

DESCRIPTION = "Meta-World recordings: LeRobot (metaworld_mt50), or HDF5 or npz files"
FORMATS = ("lerobot", "hdf5", "npz")
STATES = ("environment", "proprio", "none")
BASE = "metaworld"
REWARD = "next.reward"  # of a LeRobot set: that of the row's action
_WIDTHS = {"action": 4, "observation.environment_state": 39, "observation.state": 4}
FEATURES = {"environment": "observation.environment_state", "proprio": "observation.state"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser,
        size=128,
        source="LeRobot set (meta/info.json), or a folder of <task>.hdf5 or of npz files",
        formats=FORMATS,
    )
    parser.add_argument("--cameras", default="", help="separated by commas; default: all there are")
    parser.add_argument(
        "--state",
        default="environment",
        choices=STATES,
        help="environment: the observation (39); proprio: hand and gripper (4)",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    cameras = parse_cameras(args.cameras) if args.cameras else []
    own = {"format": args.format, "state": args.state, "cameras": cameras}
    return frame_options(args) | own


def detect(root: pathlib.Path, links: bool = True) -> str:
    """The layout of the folder; raises DataError if it is none of the three."""
    if lerobot.is_lerobot(root):
        return "lerobot"
    for format in episodes.SUFFIXES:
        if episodes.find_files(root, format, follow_links=links).files:
            return format
    raise DataError(
        f"--source {root}: no Meta-World recordings; expected meta/info.json (lerobot), or *.hdf5 "
        f"or *.npz files"
    )


def plan(options: dict[str, Any]) -> Plan:
    root = paths.source_folder(options["source"])
    links = follow_links(options)
    format = options["format"] if options["format"] != "auto" else detect(root, links)
    if format == "lerobot":
        found, cameras, fps = _plan_lerobot(root, options)
    else:
        listing = episodes.find_files(root, format, follow_links=links)
        items, skipped = episodes.list_items(root, listing)
        found = Plan([], items, skipped, passed_over=listing.passed_over())
        cameras, fps = _first_facts(root, found, links)
        found.sources["reward"] = True
    chosen = options["cameras"] or cameras
    missing = set(chosen) - set(cameras)
    if missing:
        raise DataError(f"--cameras: no {', '.join(sorted(missing))}; there are {cameras}")
    names = {"environment": ENVIRONMENT, "proprio": PROPRIO, "none": ()}[options["state"]]
    found.specs = camera_specs(
        BASE,
        chosen,
        action=ACTION,
        has_reward=found.sources["reward"],
        state_names=names,
        behaviour="recorded episodes",
        fps=fps,
        details={
            "alignment": "action t leads from frame t to frame t + 1",
            "actions": "clipped to [-1, 1], as the environment does",
        },
        **record_fields(options),
    )
    for item in found.items:  # the workers must not look again
        item.payload.update(format=format, cameras=chosen)
    found.sources |= {"folder": str(root), "format": format}
    return found


def _first_facts(root: pathlib.Path, found: Plan, links: bool) -> tuple[list[str], float]:
    """Cameras and fps of the first episode that can be opened."""
    problems = [entry.detail for entry in found.skipped]
    for item in found.items:
        try:
            return episodes.facts(root, item, follow_links=links)
        except ItemError as error:
            problems.append(str(error))
    raise DataError(f"--source {root}: no episode can be used: {'; '.join(problems[:3])}")


def _camera_features(data: lerobot.LeRobot) -> dict[str, str]:
    """Short camera name -> feature: observation.images.top -> top, observation.image -> image."""
    return {
        name.removeprefix("observation.").removeprefix("images."): name
        for name, feature in data.features.items()
        if feature.is_camera
    }


def _plan_lerobot(root: pathlib.Path, options) -> tuple[Plan, list[str], float]:
    data = lerobot.open_lerobot(root, follow_links=follow_links(options))
    cameras = _camera_features(data)
    needed = ["action"] + [FEATURES[name] for name in [options["state"]] if name in FEATURES]
    missing = [name for name in needed if name not in data.features]
    if missing or not cameras:
        raise DataError(
            f"{root}: no {', '.join(missing) or 'pictures'} among its features "
            f"{', '.join(data.features)}; see --state, or use `prepare lerobot`, which reads "
            "sets of any robot"
        )
    for name in needed:
        feature = data.features[name]
        if feature.shape and feature.width != _WIDTHS[name]:
            raise DataError(
                f"{root}: {name} has {feature.width} numbers, of Meta-World {_WIDTHS[name]}; use "
                "`prepare lerobot`, which reads sets of any robot"
            )
    items = [
        Item(f"episode_{e['index']:06d}", {"episode": e}, max(1, e["length"]))
        for e in lerobot.list_episodes(data, list(cameras.values()))
    ]
    sources = {"lerobot_version": data.version, "reward": REWARD in data.features}
    return Plan([], items, sources=sources), sorted(cameras), data.fps


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    root = paths.source_folder(options["source"])
    if item.payload["format"] == "lerobot":
        arrays = _read_lerobot(root, item, options)
    else:
        arrays = episodes.read_episode(root, item, follow_links=follow_links(options))
        arrays.state = arrays.state[:, :4] if options["state"] == "proprio" else arrays.state
    steps = len(arrays.state) - 1
    reward = arrays.reward
    rows = [len(arrays.action)] + ([] if reward is None else [len(reward)])
    if any(count not in (steps, steps + 1) for count in rows):
        raise ItemError("wrong shape", f"{item.name}: {steps + 1} states, rows of labels {rows}")
    action = arrays.action[:steps]
    if not np.isfinite(action).all():
        raise ItemError("action out of range", f"{item.name}: an action is not finite")
    cameras = item.payload["cameras"]
    missing = set(cameras) - set(arrays.frames)
    if missing:
        there = ", ".join(arrays.frames)
        raise ItemError(
            "no images", f"{item.name}: no camera {', '.join(sorted(missing))}; it has {there}"
        )
    language = arrays.metadata.pop("language", None) or instruction(arrays.metadata["task"])
    yield Recording(
        name=item.name,
        frames={
            dataset: _fitted(arrays.frames[camera](), options)
            for camera, dataset in camera_datasets(BASE, cameras).items()
        },
        action=np.clip(action, ACTION.low, ACTION.high),
        state=None if options["state"] == "none" else arrays.state,
        reward=None if reward is None else reward[:steps],
        episode_return=0.0 if reward is None else float(reward.sum()),
        metadata={"language": language}
        | arrays.metadata
        | {"clipped_actions": int((np.abs(action) > 1).any(axis=1).sum())},
    )


def _fitted(frames: Iterator[np.ndarray], options: dict[str, Any]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield fit_frame(frame, options["size"], options["fit"])


def _read_lerobot(root: pathlib.Path, item: Item, options: dict[str, Any]) -> episodes.Arrays:
    data = lerobot.open_lerobot(root, follow_links=follow_links(options))
    episode = item.payload["episode"]
    state = FEATURES.get(options["state"])
    optional = [name for name in (state, REWARD) if name in data.features]
    columns = lerobot.read_columns(data, episode, ["action", *optional])
    texts = lerobot.episode_texts(data, episode)
    return episodes.Arrays(
        frames={
            camera: lambda name=name: lerobot.iter_frames(data, episode, name)
            for camera, name in _camera_features(data).items()
        },
        action=columns["action"],
        state=columns[state] if state else np.zeros((episode["length"], 0), np.float32),
        reward=columns[REWARD].reshape(-1) if REWARD in columns else None,
        metadata={"task": texts[0] if texts else ""}
        | lerobot.language_fields(texts)
        | {"file": episode["data"]},
    )
