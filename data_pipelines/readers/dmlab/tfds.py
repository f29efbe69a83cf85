"""RL Unplugged DMLab as TFDS prepares it: `rlu_dmlab_<task>/<run>/<version>/`, RLDS schema.

Channel order: the builders of versions 1.0.0 and 1.1.0 copied the blue-first PNGs as they were;
1.2.0 turned them to RGB (its release note says so). The version in dataset_info.json decides.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab.actions import table_spec
from data_pipelines.readers.dmlab.levels import (
    channel_order,
    chosen_levels,
    level_dataset,
    level_spec,
    upright_rgb,
)
from data_pipelines.readers.files import labels
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.rlds.fields import check_flags
from data_pipelines.readers.tfds.episodes import Episode
from data_pipelines.readers.tfds.folder import TfdsFolder, find_folders, open_folder
from data_pipelines.readers.tfds.shards import item_episodes, list_shards, shard_items

LAYOUT = "a folder with features.json, dataset_info.json and shards (TFDS rlu_dmlab_*)"
PREFIX = "rlu_dmlab_"
FIELDS = ("observation/pixels", "action", "reward")
FIRST_RGB_VERSION = (1, 2, 0)


def find(root: pathlib.Path, links: bool = True) -> list[pathlib.Path]:
    return find_folders(root, follow_links=links)


def source_channels(folder: TfdsFolder) -> str:
    """'bgr' for versions before 1.2.0 of TFDS's own builders, else 'rgb'."""
    numbers = folder.version.split(".")
    if not folder.name.startswith(PREFIX) or not all(part.isdigit() for part in numbers):
        return "rgb"
    return "bgr" if tuple(map(int, numbers)) < FIRST_RGB_VERSION else "rgb"


def plan(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    links = follow_links(options)
    folders = [open_folder(path) for path in find(root, links)]
    for folder in folders:
        missing = [key for key in FIELDS if key not in folder.step_leaves()]
        if missing:
            raise DataError(f"{folder.path}: steps lack {', '.join(missing)}; use `prepare rlds`")
    levels = chosen_levels(sorted({_level(folder) for folder in folders}), options)
    folders = [folder for folder in folders if _level(folder) in levels]
    orders = {
        str(folder.path.relative_to(root)): channel_order(options, source_channels(folder))
        for folder in folders
    }
    specs = [
        level_spec(
            level,
            options,
            table_spec("dreamerv3"),
            {"action_table": "dreamerv3", "channels_of_source": orders},
            behaviour="R2D2, all experience of training runs or snapshots",
        )
        for level in levels
    ]
    items: list[Item] = []
    skipped: list[Skipped] = []
    passed_over: dict[str, dict[str, Any]] = {}
    for folder in folders:
        found, lost = shard_items(folder, root, follow_links=links)
        passed_over |= list_shards(folder, follow_links=links).passed_over()
        for item in found:
            item.payload["level"] = _level(folder)
        items += found
        skipped += lost
    versions = {name: open_folder(root / name).version for name in orders}
    sources = {"versions": versions, "channels": orders}
    return Plan(specs, items, skipped, sources, False, passed_over)


def _level(folder: TfdsFolder) -> str:
    return folder.name.removeprefix(PREFIX)


def read(item: Item, root: pathlib.Path, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    folder = open_folder(root / item.payload["folder"])
    order = channel_order(options, source_channels(folder))
    for name, episode in item_episodes(item, root):
        if isinstance(episode, ItemError):
            yield Skipped(name, episode.reason, str(episode), episodes=episode.episodes)
            continue
        try:
            yield _recording(name, episode, item, order, options, folder.config)
        except ItemError as error:
            yield Skipped(name, error.reason, str(error))


def _recording(
    name: str, episode: Episode, item: Item, order: str, options: dict[str, Any], run: str
) -> Recording:
    pictures = episode.steps["observation/pixels"]
    action = labels.choices(episode.steps["action"], f"{name}: action")
    reward = labels.floats(episode.steps["reward"], f"{name}: reward")
    if not len(pictures) == len(action) == len(reward):
        counts = f"{len(pictures)} frames, {len(action)} actions, {len(reward)} rewards"
        raise ItemError("step count", f"{name}: {counts}")
    check_flags(episode, len(pictures))
    metadata = {"level": item.payload["level"], "run": run}
    facts = episode.metadata.scalars()
    if "episode_id" in facts:
        metadata["episode_id"] = facts["episode_id"]
    return Recording(
        name,
        {level_dataset(item.payload["level"]): upright_rgb(pictures, order, options)},
        action=action[:-1],
        reward=reward[:-1],
        episode_return=labels.total(facts.get("episode_return", reward.sum()), f"{name}: return"),
        split=item.payload["split"],
        metadata=metadata,
    )
