"""`prepare libero`: demonstrations of the LIBERO benchmark, from HDF5, RLDS or LeRobot."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers import lerobot
from data_pipelines.readers.cameras import camera_specs, parse_cameras
from data_pipelines.readers.files import lost_files, paths
from data_pipelines.readers.files.hdf5_files import SUFFIXES
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.libero import alignment, hdf5, lerobot_set, rlds_set
from data_pipelines.readers.libero import labels as layout
from data_pipelines.readers.recordings import Item, Plan, Recording, Skipped
from data_pipelines.readers.tfds.folder import find_folders

DESCRIPTION = "LIBERO demonstrations: published HDF5, modified RLDS, or LeRobot v3.0 and v2.x"
FORMATS = ("hdf5", "rlds", "lerobot")
STATES = ("auto", "none", "robot_states", "ee_gripper", "joint_states")
ORIENTATIONS = ("upright", "as_stored")
EXPECTED = (
    "expected <suite>/<task>_demo.hdf5 (hdf5), <suite>/<version>/features.json with TFRecords "
    "(rlds), or meta/info.json (lerobot)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser, size=128, source=f"folder of demonstrations; {EXPECTED}", formats=FORMATS
    )
    parser.add_argument(
        "--cameras", default=",".join(layout.CAMERAS), help="one dataset per suite and camera"
    )
    parser.add_argument(
        "--state",
        default="auto",
        choices=STATES,
        help="state vector; auto: robot_states for hdf5, ee_gripper for rlds and lerobot",
    )
    parser.add_argument(
        "--orientation",
        default="upright",
        choices=ORIENTATIONS,
        help="upright: the same pictures whatever the layout",
    )
    parser.add_argument(
        "--observation-after-action",
        default="auto",
        choices=alignment.CHOICES,
        help="hdf5: whether the observation of a row is the one after the row's action; auto: "
        "attribute obs_when, else what the stored simulator states show, else yes",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    own = ("format", "state", "orientation", "observation_after_action")
    cameras = parse_cameras(args.cameras, layout.CAMERAS)
    return frame_options(args) | {name: getattr(args, name) for name in own} | {"cameras": cameras}


def detect(root: pathlib.Path) -> str:
    """The layout of the folder; raises DataError if it is none of the three."""
    if lerobot.is_lerobot(root):
        return "lerobot"
    if list_files(root, SUFFIXES).files:
        return "hdf5"
    if find_folders(root):
        return "rlds"
    raise DataError(f"--source {root}: no LIBERO demonstrations; {EXPECTED}")


def plan(options: dict[str, Any]) -> Plan:
    root = paths.source_folder(options["source"])
    layout_name = options["format"] if options["format"] != "auto" else detect(root)
    make = {"hdf5": _plan_hdf5, "rlds": _plan_rlds, "lerobot": _plan_lerobot}[layout_name]
    found = make(root, options)
    if not found.items:
        reasons = "; ".join(entry.detail for entry in found.skipped[:3]) or EXPECTED
        raise DataError(f"--source {root}: no demonstration can be used: {reasons}")
    for item in found.items:  # the workers must not detect again
        item.payload.update(format=layout_name)
    found.sources |= {"folder": str(root), "format": layout_name}
    return found


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    reader = {
        "hdf5": hdf5.read_demo,
        "rlds": rlds_set.read_item,
        "lerobot": lerobot_set.read_episode,
    }[item.payload["format"]]
    state = state_choice(options["state"], item.payload["format"])
    yield from reader(item, options | {"state": state})


def state_choice(option: str, format: str) -> str:
    """The state vector that is stored; raises DataError if the layout does not have it."""
    held = {
        "hdf5": ("robot_states", "ee_gripper", "joint_states", "none"),
        "rlds": ("ee_gripper", "joint_states", "none"),
        "lerobot": ("ee_gripper", "none"),
    }[format]
    chosen = held[0] if option == "auto" else option
    if chosen not in held:
        raise DataError(f"--state={option}: {format} sets hold {', '.join(held)}")
    return chosen


def _specs(base: str, options, names: tuple[str, ...], fps: float, reward: bool, **details):
    facts = {
        "orientation": options["orientation"],
        "alignment": "action t leads from frame t to frame t + 1",
        "gripper": "-1 opens, +1 closes",
    }
    return camera_specs(
        base,
        options["cameras"],
        action=layout.ACTION,
        has_reward=reward,
        state_names=names,
        behaviour="demonstrations",
        fps=fps,
        details=facts | details,
        **record_fields(options),
    )


def _plan_hdf5(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    listing = list_files(root, SUFFIXES, follow_links=follow_links(options))
    items, skipped, facts = hdf5.list_demos(root, listing.files, options)
    choice = state_choice(options["state"], "hdf5")
    names = () if choice == "none" else hdf5.STATES[choice][1]
    specs = []
    for suite in dict.fromkeys(item.payload["suite"] for item in items):
        mine = [item.payload for item in items if item.payload["suite"] == suite]
        follows = {entry["observation_after_action"] for entry in mine}
        specs += _specs(
            suite,
            options,
            names,
            layout.FPS,
            True,
            stored_orientation="upside down (rows reversed), unless the file says opencv",
            observation_after_action=sorted(follows),
        )
    skipped = lost_files.estimated(root, items, skipped + lost_files.unknown(listing.skipped))
    return Plan(specs, items, skipped, facts, passed_over=listing.passed_over())


def _plan_lerobot(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    data = lerobot.open_lerobot(root, follow_links=follow_links(options))
    lerobot_set.check_actions_feature(data)
    choice = state_choice(options["state"], "lerobot")
    names: tuple[str, ...] = ()
    if choice != "none":
        names = data.names(lerobot_set.feature(data, lerobot_set.STATES, "state"))
    cameras = {
        camera: lerobot_set.feature(data, lerobot_set.CAMERAS[camera], f"camera {camera}")
        for camera in options["cameras"]
    }
    specs = _specs(
        lerobot_set.BASE,
        options,
        names,
        data.fps,
        False,
        stored_orientation="turned by 180 degrees",
        features=cameras,
    )
    items, facts = lerobot_set.list_items(data, cameras)
    sources = {"lerobot_version": data.version, "splits": data.splits} | facts
    return Plan(specs=specs, items=items, sources=sources)


def _plan_rlds(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    choice = state_choice(options["state"], "rlds")
    names = {"none": (), "ee_gripper": layout.EE_POSE + layout.GRIPPER}.get(choice, layout.JOINTS)
    items, skipped, versions = rlds_set.list_items(root, options | {"state": choice})
    specs = []
    for suite in dict.fromkeys(item.payload["suite"] for item in items):
        specs += _specs(
            suite,
            options,
            names,
            layout.FPS,
            True,
            stored_orientation="turned by 180 degrees",
        )
    return Plan(specs, items, skipped, {"versions": versions}, one_recording_per_item=False)
