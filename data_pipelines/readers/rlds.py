"""`prepare rlds`: a folder prepared by TFDS in the RLDS schema, as Open X-Embodiment publishes.

Alignment (RLDS): step t holds observation t, the action taken at it and the reward that followed.
The last step's action leads to no stored frame, so N steps give N frames, N - 1 actions and N - 1
rewards.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.readers.cameras import camera_datasets, camera_specs
from data_pipelines.errors import DataError
from data_pipelines.readers.frame_options import add_frame_arguments, frame_options, record_fields
from data_pipelines.framing import fit_frame
from data_pipelines.names import plain_name
from data_pipelines.readers.paths import source_folder
from data_pipelines.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.rlds_fields import (
    LANGUAGE_KEYS,
    Choice,
    check_flags,
    choose,
    joined,
    language,
)
from data_pipelines.readers.tfds_episodes import Episode, shard_episodes
from data_pipelines.readers.tfds_folder import FILE_FORMATS, TfdsFolder, find_folders, open_folder

DESCRIPTION = "episodes in RLDS schema prepared by TFDS (Open X-Embodiment and others)"
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


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


def add_arguments(parser) -> None:
    add_frame_arguments(
        parser,
        size=224,
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
        "--language-key", default="", help=f"default: the first of {', '.join(LANGUAGE_KEYS)}"
    )
    parser.add_argument("--fps", type=float, default=0.0, help="of the recording; 0 = unknown")
    parser.add_argument("--name", default="", help="name of the dataset; default: the folder's own")


def options(args) -> dict[str, Any]:
    if args.fps < 0 or args.action_count < 0:
        raise DataError(
            f"--fps and --action-count cannot be negative, got {args.fps}, {args.action_count}"
        )
    if args.name and args.name != plain_name(args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    lists = ("image_keys", "action_key", "state_key")
    kept = ("format", "language_key", "action_count", "fps", "name")
    return (
        frame_options(args)
        | {name: [key for key in getattr(args, name).split(",") if key] for name in lists}
        | {name: getattr(args, name) for name in kept}
    )


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    folder = _only_folder(root)
    if options["format"] not in ("auto", folder.file_format):
        raise DataError(f"{folder.path}: holds {folder.file_format}, not {options['format']}")
    choice = choose(folder, options)
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
            "language_key": choice.language_key,
        },
        **record_fields(options),
    )
    items, skipped = shard_items(folder, root)
    if not items:
        raise DataError(f"{folder.path}: none of its {len(skipped)} shards exists")
    sources = {
        "folder": str(folder.path),
        "dataset": folder.name,
        "version": folder.version,
        "format": folder.file_format,
        "splits": {split: len(shards) for split, shards in folder.shards.items()},
    }
    return Plan(specs, items, skipped, sources, one_recording_per_item=False)


def _only_folder(root: pathlib.Path) -> TfdsFolder:
    found = find_folders(root)
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise DataError(
            f"--source {root}: expected one folder with features.json and dataset_info.json, found "
            + (f"{len(found)}: {names}. Name one of them" if found else "none")
        )
    return open_folder(found[0])


def shard_items(folder: TfdsFolder, root: pathlib.Path) -> tuple[list[Item], list[Skipped]]:
    """One item per shard of `folder` (below `root`), and the shards that are missing.

    A lone `train` split is no split at all: its items have split None, so that the usual shares
    are cut from it.
    """
    items, skipped = [], []
    lone = sum(bool(shards) for shards in folder.shards.values()) == 1
    for split, shards in folder.shards.items():
        for shard in shards:
            name = str(shard.relative_to(root))
            payload = {
                "folder": str(folder.path.relative_to(root)),
                "shard": shard.name,
                "split": None if lone else SPLITS.get(split.lower()),
            }
            if shard.is_file():
                items.append(Item(name, payload, shard.stat().st_size))
            else:
                skipped.append(Skipped(name, "missing shard", f"{shard}: no such file"))
    return items, skipped


def item_episodes(item: Item, root: pathlib.Path) -> Iterator[tuple[str, Episode | ItemError]]:
    """(name, episode or what is wrong with it) of an item made by `shard_items`."""
    folder = open_folder(root / item.payload["folder"])
    shard = folder.path / item.payload["shard"]
    for number, episode in enumerate(shard_episodes(folder, shard)):
        yield f"{item.name}:{number}", episode


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    root = source_folder(options["source"])
    folder = open_folder(root / item.payload["folder"])
    choice = choose(folder, options)
    base = options["name"] or plain_name(folder.name)
    datasets = camera_datasets(base, list(choice.images))
    for name, episode in item_episodes(item, root):
        try:
            if isinstance(episode, ItemError):
                raise episode
            count = _frame_count(episode, choice)
            frames = {
                datasets[camera]: fitted(episode.steps[key], options)
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


def _frame_count(episode: Episode, choice: Choice) -> int:
    counts = {len(episode.steps[key]) for key in choice.images.values()}
    if len(counts) > 1:
        raise ItemError("step count", f"cameras have {sorted(counts)} frames")
    count = counts.pop()
    if count < 2:
        raise ItemError("too short", f"{count} steps, no transition")
    check_flags(episode, count)
    return count


def fitted(pictures: Sequence[np.ndarray], options: dict[str, Any]) -> Iterator[np.ndarray]:
    """The pictures one by one at the size that the options ask for."""
    for t in range(len(pictures)):
        yield fit_frame(pictures[t], options["size"], options["fit"])


def _labels(episode: Episode, choice: Choice, count: int) -> dict[str, Any]:
    """action (N-1, ...), reward (N-1,), state (N, S) as a Recording takes them; N is `count`."""
    labels: dict[str, Any] = {}
    if choice.action and choice.action.kind == "discrete":
        labels["action"] = episode.steps[choice.action_keys[0]].astype(np.int32)
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
    if choice.language_key:
        metadata["language"] = language(episode, choice.language_key)
    for key in episode.metadata:
        value = episode.metadata[key]
        if isinstance(value, (str, np.generic)):
            metadata[key] = value if isinstance(value, str) else value.item()
    if "is_terminal" in episode.steps:
        metadata["terminal"] = bool(np.any(episode.steps["is_terminal"][-1:]))
    return metadata
