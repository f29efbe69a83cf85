"""`prepare lerobot`: a LeRobot set of any robot, v2.0, v2.1 or v3.0.

Row t holds frame t, the action taken there and the reward that followed. The last row's action
leads to no stored frame, so N rows give N frames, N - 1 actions and N - 1 rewards. Pictures are
taken as they are: what a set's recorder turned or mirrored stays so (`prepare libero` knows
LIBERO's).
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.names import plain_name
from data_pipelines.readers import lerobot
from data_pipelines.readers.cameras import camera_datasets, camera_specs, parse_cameras
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.lerobot.availability import Availability
from data_pipelines.readers.lerobot.info import VERSIONS
from data_pipelines.readers.lerobot.selection import (
    STATE,
    Choice,
    camera_names,
    choose,
    discrete,
    joined,
)
from data_pipelines.readers.lerobot.splits import published_split
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped

DESCRIPTION = "LeRobot sets of any robot: v2.0, v2.1 and v3.0"
FORMATS = VERSIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser, size=224, source="folder that holds meta/info.json", formats=FORMATS
    )
    parser.add_argument(
        "--cameras",
        default="",
        help="features with pictures, or the last parts of their names, by comma; default: all "
        "that have files and hold colours. One dataset each",
    )
    parser.add_argument(
        "--action",
        default=None,
        help="numeric feature, or several by comma to join; empty for video only; default: action",
    )
    parser.add_argument(
        "--state",
        default=None,
        help=f"likewise, kept as state; empty for none; default: {STATE} if there is one",
    )
    parser.add_argument(
        "--action-count",
        type=int,
        default=0,
        help="number of actions, where they are choices; default: integers are amounts",
    )
    parser.add_argument("--name", default="", help="name of the dataset; default: the folder's own")


def options(args: argparse.Namespace) -> dict[str, Any]:
    if args.action_count < 0:
        raise DataError(f"--action-count cannot be negative, got {args.action_count}")
    if args.name and args.name != plain_name(args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    return frame_options(args) | {
        "format": args.format,
        "cameras": parse_cameras(args.cameras) if args.cameras else [],
        "action": _features(args.action, "--action"),
        "state": _features(args.state, "--state"),
        "action_count": args.action_count,
        "name": args.name,
    }


def _features(text: str | None, option: str) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) != len(names):
        raise DataError(f"{option} is {text!r}; a feature is named twice")
    return names


def _open(options: dict[str, Any]) -> lerobot.LeRobot:
    root = source_folder(options["source"])
    if not lerobot.is_lerobot(root):
        raise DataError(f"--source {root}: no meta/info.json; give the folder that holds meta/")
    return lerobot.open_lerobot(root, follow_links=follow_links(options))


def plan(options: dict[str, Any]) -> Plan:
    data = _open(options)
    if options["format"] not in ("auto", data.version):
        raise DataError(f"{data.root}: is of version {data.version}, not {options['format']}")
    choice = choose(data, options)
    episodes = lerobot.list_episodes(data, list(choice.cameras.values()))
    there = Availability(data, episodes)
    cameras, skipped = _usable_cameras(data, there, choice)
    skipped += _depth_cameras(data, choice)
    items = []
    for episode in episodes:
        name = f"episode_{episode['index']:06d}"
        try:
            there.check(episode, list(cameras.values()))
        except ItemError as error:
            skipped.append(Skipped(name, error.reason, str(error), frames=episode["length"]))
            continue
        split = published_split(data, episode["index"])
        payload = {"episode": episode, "cameras": cameras, "split": split}
        items.append(Item(name, payload, max(1, episode["length"])))
    if not items:
        reasons = "; ".join(entry.detail for entry in skipped[:3]) or "it lists none"
        raise DataError(f"--source {data.root}: no episode can be used: {reasons}")
    specs = camera_specs(
        _base(options),
        list(cameras),
        action=choice.action,
        has_reward=bool(choice.reward),
        state_names=choice.state_names,
        behaviour="recorded episodes",
        fps=data.fps,
        details={
            "robot": data.robot,
            "features": cameras,
            "action": choice.action_keys,
            "state": choice.state_keys,
            "alignment": "action t leads from frame t to frame t + 1",
        },
        **record_fields(options),
    )
    return Plan(specs, items, skipped + _unlisted(data, episodes), _sources(data, episodes))


def _usable_cameras(
    data: lerobot.LeRobot, there: Availability, choice: Choice
) -> tuple[dict[str, str], list[Skipped]]:
    """The cameras that have files, and the others; raises DataError if none is left, or if one that
    was asked for has none."""
    problems = {name: there.camera_problem(feature) for name, feature in choice.cameras.items()}
    lost = [f"{choice.cameras[name]}: {text}" for name, text in problems.items() if text]
    cameras = {name: feature for name, feature in choice.cameras.items() if not problems[name]}
    if lost and (choice.asked or not cameras):
        raise DataError(f"--source {data.root}: no pictures of {'; '.join(lost)}")
    return cameras, [
        # The episodes stay, seen by the other cameras.
        Skipped(choice.cameras[name], "camera without files", text, expected=True, episodes=0)
        for name, text in problems.items()
        if text
    ]


def _depth_cameras(data: lerobot.LeRobot, choice: Choice) -> list[Skipped]:
    """Cameras that were left out as their pictures are no colours."""
    detail = "its pictures hold distances, not colours; --cameras takes it if it is named"
    return [
        Skipped(feature, "depth camera", detail, expected=True, episodes=0)
        for feature in camera_names(data).values()
        if not choice.asked and feature not in choice.cameras.values()
    ]


def _unlisted(data: lerobot.LeRobot, episodes: list[dict[str, Any]]) -> list[Skipped]:
    """What info.json counts and the table of episodes does not know: a set of which a part was
    copied."""
    lacking = (data.total_episodes or 0) - len(episodes)
    if lacking <= 0:
        return []
    detail = f"info.json counts {data.total_episodes} episodes, meta/episodes lists {len(episodes)}"
    return [Skipped("meta", "not listed", detail, expected=True, episodes=lacking)]


def _sources(data: lerobot.LeRobot, episodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "folder": str(data.root),
        "format": data.version,
        "robot": data.robot,
        "splits": data.splits,
        "episodes_listed": len(episodes),
        "episodes_without_text": lerobot.without_text(data, episodes),
    }


def _base(options: dict[str, Any]) -> str:
    """The name of the datasets; the hub's cache calls folders by a hash, and their parents by name:
    datasets--<owner>--<name>/snapshots/<hash>."""
    root = pathlib.Path(options["source"])
    name = root.name
    if root.parent.name == "snapshots":
        name = root.parent.parent.name.rsplit("--", 1)[-1]
    return options["name"] or plain_name(name, "lerobot")


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    data = _open(options)
    choice, episode = choose(data, options), item.payload["episode"]
    if episode["length"] < 2:
        raise ItemError("too short", f"{item.name}: {episode['length']} rows, no transition")
    arrays = lerobot.read_columns(data, episode, choice.columns)
    texts = lerobot.episode_texts(data, episode)
    cameras = item.payload["cameras"]
    datasets = camera_datasets(_base(options), list(cameras))
    yield Recording(
        name=item.name,
        frames={
            datasets[name]: _fitted(data, episode, feature, options)
            for name, feature in cameras.items()
        },
        split=item.payload["split"],
        metadata=lerobot.language_fields(texts)
        | {
            "file": episode["data"],
            "episode": episode["index"],
            "num_samples": episode["length"],
        },
        **_labels(item.name, arrays, choice),
    )


def _labels(name: str, arrays: dict[str, np.ndarray], choice: Choice) -> dict[str, Any]:
    """action (N-1, ...), reward (N-1,), state (N, S) as a Recording takes them."""
    labels: dict[str, Any] = {}
    if choice.action:
        action = joined(arrays, choice.action_keys)[:-1]
        labels["action"] = discrete(action, name) if choice.action.kind == "discrete" else action
    if choice.state_keys:
        labels["state"] = joined(arrays, choice.state_keys)
    if choice.reward:
        rewards = joined(arrays, [choice.reward])[:, 0]
        labels |= {"reward": rewards[:-1], "episode_return": float(rewards.sum())}
    return labels


def _fitted(data, episode, feature: str, options: dict[str, Any]) -> Iterator[np.ndarray]:
    for frame in lerobot.iter_frames(data, episode, feature):
        yield fit_frame(frame, options["size"], options["fit"])
