"""The shards of a TFDS folder as items of a conversion, and the episodes of such an item."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.files.opening import fault
from data_pipelines.readers.recordings import Item, ItemError, Skipped
from data_pipelines.readers.tfds.episodes import Episode, shard_episodes
from data_pipelines.readers.tfds.features import FILE as FEATURES
from data_pipelines.readers.tfds.folder import FILE_FORMATS, INFO, TfdsFolder, open_folder

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def list_shards(folder: TfdsFolder, *, follow_links: bool = True) -> Listing:
    """The files of the folder: those that its metadata name, and what lies beside them."""
    known = {FEATURES, INFO, *folder.lengths}
    return list_files(folder.path, named=known.__contains__, follow_links=follow_links, deep=False)


def shard_items(
    folder: TfdsFolder, root: pathlib.Path, *, follow_links: bool = True
) -> tuple[list[Item], list[Skipped]]:
    """One item per shard of `folder` (below `root`), and the shards that cannot be read.

    A lone `train` split is no split at all: its items have split None, so that the usual shares
    are cut from it.
    """
    listing = list_shards(folder, follow_links=follow_links)
    unusable = {entry.name: entry for entry in listing.skipped}
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
            count = folder.lengths[shard.name]
            problem = unusable.get(shard.name) or _fault(shard, folder.file_format)
            if problem is None:
                items.append(Item(name, payload, shard.stat().st_size, count))
            else:
                skipped.append(dataclasses.replace(problem, name=name, episodes=count))
    return items, skipped


def _fault(shard: pathlib.Path, file_format: str) -> Skipped | None:
    found = fault(shard, FILE_FORMATS[file_format])
    if found is None:
        return None
    reason = "missing shard" if found.reason == "missing" else found.reason
    return Skipped(shard.name, reason, str(found))


def item_episodes(item: Item, root: pathlib.Path) -> Iterator[tuple[str, Episode | ItemError]]:
    """(name, episode or what is wrong with it) of an item made by `shard_items`."""
    folder = open_folder(root / item.payload["folder"])
    shard = folder.path / item.payload["shard"]
    for number, episode in enumerate(shard_episodes(folder, shard)):
        yield f"{item.name}:{number}", episode
