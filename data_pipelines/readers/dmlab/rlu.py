"""RL Unplugged: `<task>/<run>/tfrecord-00000-of-00500`, gzip, one episode per tf.Example.

Per episode of T steps (deepmind-research/rl_unplugged, tensorflow_datasets/rl_unplugged):
observations_pixels T PNGs of 72x96 whose channels are stored blue first (OpenCV wrote them),
actions int64 (T,), rewards float32 (T,), observations_action float32 (T, 15), which is the
*previous* action as one-hot, observations_reward the previous reward, episode_id, episode_return,
start_idx.

Alignment: actions[t] is taken at frame t and rewards[t] follows it; observations_action[t + 1] must
repeat actions[t], and the share of steps where it does is kept with each episode.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipelines.readers.dmlab.actions import table_spec
from data_pipelines.readers.dmlab.levels import (
    channel_order,
    chosen_levels,
    level_dataset,
    level_spec,
    upright_rgb,
)
from data_pipelines.readers.files import labels
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.tfds.tfrecord import parse_example, records

LAYOUT = "<task>/<run>/tfrecord-*-of-* (RL Unplugged)"
ACTIONS = 15
DEFAULT_CHANNELS = "bgr"


def find(root: pathlib.Path, links: bool = True) -> list[pathlib.Path]:
    """The shards at or below `root`, in natural order."""
    return _list(root, links).files


def _list(root: pathlib.Path, links: bool) -> Listing:
    return list_files(root, named=lambda name: name.startswith("tfrecord-"), follow_links=links)


def plan(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    listing = _list(root, follow_links(options))
    shards = listing.files
    by_level = {path: path.parent.parent.name for path in shards}
    levels = chosen_levels(sorted(set(by_level.values())), options)
    shards = [path for path in shards if by_level[path] in levels]
    order = channel_order(options, DEFAULT_CHANNELS)
    specs = [
        level_spec(
            level,
            options,
            table_spec("dreamerv3"),
            {"action_table": "dreamerv3", "channels_of_source": order},
            behaviour="R2D2, all experience of training runs or snapshots",
        )
        for level in levels
    ]
    items = [
        Item(
            str(path.relative_to(root)),
            {"level": by_level[path], "run": path.parent.name},
            path.stat().st_size,
            None,
        )
        for path in shards
    ]
    runs = sorted({f"{by_level[path]}/{path.parent.name}" for path in shards})
    sources = {"files": len(items), "runs": runs}
    return Plan(specs, items, listing.skipped, sources, False, listing.passed_over())


def read(item: Item, root: pathlib.Path, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    for number, record in enumerate(records(root / item.name)):
        name = f"{item.name}:{number}"
        if isinstance(record, ItemError):
            # Where nobody knows how much is lost, the file stands for it, less what was read.
            name = item.name if record.episodes is None else name
            yield Skipped(name, record.reason, str(record), episodes=record.episodes)
            continue
        try:
            yield _recording(name, parse_example(record), item, options)
        except ItemError as error:
            yield Skipped(name, error.reason, str(error))


def _recording(name: str, raw: dict[str, Any], item: Item, options: dict[str, Any]) -> Recording:
    needed = ("observations_pixels", "actions", "rewards", "observations_action")
    missing = [key for key in needed if key not in raw]
    if missing:
        held = ", ".join(sorted(raw))
        raise ItemError("not RL Unplugged", f"{name}: no {', '.join(missing)}; it holds {held}")
    pictures = raw["observations_pixels"]
    if not all(isinstance(picture, bytes) for picture in pictures):
        raise ItemError("not RL Unplugged", f"{name}: observations_pixels holds no pictures")
    action = labels.choices(raw["actions"], f"{name}: actions")
    reward = labels.floats(raw["rewards"], f"{name}: rewards")
    before = labels.floats(raw["observations_action"], f"{name}: observations_action")
    sizes = (len(action), len(reward), len(before) / ACTIONS)
    if set(sizes) != {len(pictures)}:
        raise ItemError(
            "step count",
            f"{name}: {len(pictures)} frames, but actions, rewards, previous actions are {sizes}",
        )
    repeated = before.reshape(-1, ACTIONS).argmax(1)[1:] == action[:-1]
    metadata = {"level": item.payload["level"], "run": item.payload["run"]}
    metadata["previous_action_agrees"] = round(float(repeated.mean()), 4) if len(repeated) else 1.0
    for key in ("episode_id", "start_idx"):
        if raw.get(key):
            metadata[key] = int(labels.choices(raw[key], f"{name}: {key}")[0])
    returns = labels.floats(raw.get("episode_return") or reward.sum(keepdims=True), name)
    order = channel_order(options, DEFAULT_CHANNELS)
    return Recording(
        name,
        {level_dataset(item.payload["level"]): upright_rgb(pictures, order, options)},
        action=action[:-1],
        reward=reward[:-1],
        episode_return=labels.total(returns[0], f"{name}: episode_return"),
        metadata=metadata,
    )
