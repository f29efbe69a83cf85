"""`prepare rlds`: a folder prepared by TFDS in the RLDS schema, as Open X-Embodiment publishes.

Alignment (RLDS): step t holds observation t, the action taken at it and the reward that followed.
The last step's action leads to no stored frame, so N steps give N frames, N - 1 actions and N - 1
rewards.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.names import plain_name
from data_pipelines.readers.cameras import camera_datasets, camera_specs
from data_pipelines.readers.files.labels import choices, json_value
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.rlds.fields import (
    LANGUAGE_KEYS,
    Choice,
    check_flags,
    choose,
    joined,
    language,
    wrong_flags,
)
from data_pipelines.readers.rlds.frames import camera_frames, camera_sizes, step_count
from data_pipelines.readers.tfds.episodes import Episode, shard_episodes
from data_pipelines.readers.tfds.folder import FILE_FORMATS, TfdsFolder, find_folders, open_folder
from data_pipelines.readers.tfds.shards import item_episodes, list_shards, shard_items

_MOST_NAMED = 20  # folders in a message
MOST_ACTIONS = 1 << 16
DESCRIPTION = "episodes in RLDS schema prepared by TFDS (Open X-Embodiment and others)"


def episodes(folder: str | pathlib.Path, split: str) -> Iterator[Episode]:
    """The episodes of one published split, shard by shard.

    Raises ItemError at the first damaged record; `shard_episodes` goes on behind it.
    """
    opened = open_folder(folder)
    if split not in opened.shards:
        raise DataError(f"{folder}: no split {split!r}; it has {', '.join(opened.shards)}")
    for shard in opened.shards[split]:
        for episode in shard_episodes(opened, shard):
            if isinstance(episode, ItemError):
                raise episode
            yield episode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser,
        size=0,
        source="folder with features.json, dataset_info.json and the shards",
        formats=FILE_FORMATS,  # of the shards; auto: what dataset_info.json says
    )
    parser.add_argument(
        "--image-keys", default="", help="fields of a step, by comma; default: all colour images"
    )
    parser.add_argument(
        "--action-key",
        default="action",
        help="field of a step, or several by comma to join; a dict is joined by sorted key; empty "
        "for video only",
    )
    parser.add_argument(
        "--action-count", type=int, default=0, help="number of actions, where they are integers"
    )
    parser.add_argument(
        "--state-key", default="", help="numeric fields to keep as state, by comma; default: none"
    )
    parser.add_argument(
        "--language-key",
        default="",
        help="texts by comma, of which the first that is not empty is taken, per episode; default: "
        f"{', '.join(LANGUAGE_KEYS)}, each also with a number behind it",
    )
    parser.add_argument("--fps", type=float, default=0.0, help="of the recording; 0 = unknown")
    parser.add_argument("--name", default="", help="name of the dataset; default: the folder's own")


def options(args: argparse.Namespace) -> dict[str, Any]:
    if not 0 <= args.fps < math.inf or not 0 <= args.action_count <= MOST_ACTIONS:
        raise DataError(
            f"--fps must be a number from 0 on, --action-count from 0 to {MOST_ACTIONS}; got "
            f"{args.fps} and {args.action_count}"
        )
    if args.name and args.name != plain_name(args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    lists = ("image_keys", "action_key", "state_key")
    kept = ("format", "language_key", "action_count", "fps", "name")
    return (
        frame_options(args, as_stored=True)
        | {name: [key for key in getattr(args, name).split(",") if key] for name in lists}
        | {name: getattr(args, name) for name in kept}
    )


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    folder = _only_folder(root, follow_links(options))
    if options["format"] not in ("auto", folder.file_format):
        raise DataError(f"{folder.path}: holds {folder.file_format}, not {options['format']}")
    choice = choose(folder, options)
    links = follow_links(options)
    items, skipped = shard_items(folder, root, follow_links=links)
    if not items:
        raise DataError(
            f"{folder.path}: none of its {len(skipped)} shards can be read: {skipped[0].detail}"
        )
    sizes = {}
    if not options["size"]:
        shards = [folder.path / item.payload["shard"] for item in items]
        sizes = camera_sizes(folder, choice.images, shards)
        for item in items:
            item.payload["sizes"] = sizes
    specs = camera_specs(
        options["name"] or plain_name(folder.name),
        list(choice.images),
        action=choice.action,
        has_reward=bool(choice.reward_key),
        state_names=choice.state_names,
        behaviour="recorded episodes",
        fps=options["fps"],
        details={
            "image_keys": choice.images,
            "action_keys": choice.action_keys,
            "language_keys": choice.language_keys,
        },
        **record_fields(options, next(iter(sizes.values()), None)),
    )
    specs = [
        dataclasses.replace(spec, **record_fields(options, sizes.get(spec.camera)))
        for spec in specs
    ]
    sources = {
        "folder": str(folder.path),
        "dataset": folder.name,
        "version": folder.version,
        "format": folder.file_format,
        "splits": {split: len(shards) for split, shards in folder.shards.items()},
    }
    return Plan(
        specs,
        items,
        skipped,
        sources,
        one_recording_per_item=False,
        passed_over=list_shards(folder, follow_links=links).passed_over(),
    )


def _only_folder(root: pathlib.Path, links: bool) -> TfdsFolder:
    found = find_folders(root, follow_links=links)
    found = [root] if root in found else found  # what lies below it was not named
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(root)) for path in found[:_MOST_NAMED])
        names += ", ..." if len(found) > _MOST_NAMED else ""
        raise DataError(
            f"--source {root}: expected one folder with features.json and dataset_info.json, found "
            + (f"{len(found)}: {names}. Name one of them" if found else "none")
        )
    return open_folder(found[0])


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    root = source_folder(options["source"])
    folder = open_folder(root / item.payload["folder"])
    choice = choose(folder, options)
    base = options["name"] or plain_name(folder.name)
    datasets = camera_datasets(base, list(choice.images))
    sizes = item.payload.get("sizes", {})
    for name, episode in item_episodes(item, root):
        if isinstance(episode, ItemError):
            yield Skipped(name, episode.reason, str(episode), episodes=episode.episodes)
            continue
        try:
            count = step_count(episode, choice.images)
            check_flags(episode, count)
            frames = {
                datasets[camera]: camera_frames(episode, key, count, options, sizes.get(camera))
                for camera, key in choice.images.items()
            }
            yield Recording(
                name,
                frames,
                split=item.payload["split"],
                metadata=_metadata(episode, choice),
                **_labels(episode, choice, count),
            )
        except ItemError as error:
            yield Skipped(name, error.reason, str(error))


def _labels(episode: Episode, choice: Choice, count: int) -> dict[str, Any]:
    """action (N-1, ...), reward (N-1,), state (N, S) as a Recording takes them; N is `count`."""
    labels: dict[str, Any] = {}
    if choice.action and choice.action.kind == "discrete":
        key = choice.action_keys[0]
        labels["action"] = choices(episode.steps[key], key)
    elif choice.action:
        labels["action"] = joined(episode, choice.action_keys)
    if choice.reward_key:
        labels["reward"] = joined(episode, [choice.reward_key])[:, 0]
    if choice.state_keys:
        labels["state"] = joined(episode, choice.state_keys)
    for label, values in labels.items():
        if len(values) != count:
            raise ItemError("step count", f"{len(values)} steps with {label}, {count} frames")
        if label != "state":
            labels[label] = values[:-1]  # what followed the last one was not recorded
    if choice.reward_key:
        labels["episode_return"] = float(labels["reward"].sum())
    return labels


def _metadata(episode: Episode, choice: Choice) -> dict[str, Any]:
    """Language first, then what the publisher says about the episode (texts and numbers)."""
    metadata: dict[str, Any] = {}
    if choice.language_keys:
        metadata["language"] = language(episode, *choice.language_keys)
    for key, value in episode.metadata.scalars().items():
        metadata[key] = json_value(value)
    wrong = wrong_flags(episode, choice.images)
    if wrong:
        metadata["wrong_flags"] = wrong
    if "is_terminal" in episode.steps and episode.steps.held("is_terminal"):
        metadata["terminal"] = bool(np.any(episode.steps["is_terminal"][-1:]))
    return metadata
