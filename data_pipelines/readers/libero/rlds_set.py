"""LIBERO in RLDS schema (openvla/modified_libero_rlds): one TFDS folder per suite.

Failed demonstrations and steps without motion were removed and the rest replayed at 256 x 256.
Step j holds obs[j] and the action that leads to obs[j+1]; pictures are turned by 180 degrees
against the simulator's own, which are upside down.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.names import plain_name
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.readers.files import paths
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.libero.labels import check_actions
from data_pipelines.readers.recordings import Item, ItemError, Recording, Skipped
from data_pipelines.readers.rlds.fields import check_flags, language
from data_pipelines.readers.tfds.episodes import Episode
from data_pipelines.readers.tfds.folder import find_folders, open_folder
from data_pipelines.readers.tfds.shards import item_episodes, shard_items

CAMERAS = {"agentview": "observation/image", "eye_in_hand": "observation/wrist_image"}
STATES = {"ee_gripper": ("observation/state", 8), "joint_states": ("observation/joint_state", 7)}
ACTION, REWARD, LANGUAGE = "action", "reward", "language_instruction"


def list_items(
    root: pathlib.Path, options: dict[str, Any]
) -> tuple[list[Item], list[Skipped], dict[str, str]]:
    """One item per shard, the shards that are missing, and the version of each suite."""
    needed = [CAMERAS[camera] for camera in options["cameras"]] + [ACTION, REWARD, LANGUAGE]
    if options["state"] != "none":
        needed.append(STATES[options["state"]][0])
    items, skipped, versions = [], [], {}
    links = follow_links(options)
    for path in find_folders(root, follow_links=links):
        folder = open_folder(path)
        missing = set(needed) - set(folder.step_leaves())
        if missing:
            raise DataError(
                f"{path}: steps have no {', '.join(sorted(missing))}; they have "
                f"{', '.join(sorted(folder.step_leaves()))}. For the set of another robot use "
                "`prepare rlds`"
            )
        suite = plain_name(folder.name, "libero")
        if suite in versions:
            raise DataError(f"--source {root}: {suite} exists twice; name one of its versions")
        versions[suite] = folder.version
        found, absent = shard_items(folder, root, follow_links=links)
        for item in found:
            item.payload["suite"] = suite
        items += found
        skipped += absent
    return items, skipped, versions


def read_item(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    """The episodes of one shard; those that cannot be used as Skipped."""
    for name, episode in item_episodes(item, paths.source_folder(options["source"])):
        if isinstance(episode, ItemError):
            yield Skipped(name, episode.reason, str(episode), episodes=episode.episodes)
            continue
        try:
            yield _recording(name, item, episode, options)
        except ItemError as error:
            yield Skipped(name, error.reason, str(error))


def _recording(name: str, item: Item, episode: Episode, options: dict[str, Any]) -> Recording:
    actions = _numbers(episode, ACTION)
    check_actions(actions, name)
    rewards, state = _numbers(episode, REWARD).reshape(-1), None
    if options["state"] != "none":
        state = _numbers(episode, STATES[options["state"]][0])
    check_flags(episode, len(actions))
    suite = item.payload["suite"]
    datasets = camera_datasets(suite, options["cameras"])
    file = str(episode.metadata.get("episode_metadata/file_path", ""))
    return Recording(
        name=name,
        frames={
            datasets[camera]: _pictures(episode.steps[CAMERAS[camera]], len(actions), options)
            for camera in options["cameras"]
        },
        action=actions[:-1],
        reward=rewards[:-1],
        state=state,
        episode_return=float(rewards.sum()),
        split=item.payload["split"],
        metadata={
            "language": language(episode, LANGUAGE),
            "task": pathlib.PurePosixPath(file).stem.removesuffix("_demo"),
            "suite": suite,
            "file": pathlib.PurePosixPath(file).name,
            "num_samples": len(actions),
        },
    )


def _numbers(episode: Episode, key: str) -> np.ndarray:
    """Float32 (T, ...); raises ItemError where steps differ in shape."""
    values = episode.steps[key]
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ItemError("wrong shape", f"{key}: {error}") from error


def _pictures(pictures, count: int, options: dict[str, Any]) -> Iterator[np.ndarray]:
    if len(pictures) != count:
        raise ItemError("frame count", f"{len(pictures)} pictures, {count} actions")
    for t in range(count):
        # stored turned by 180 degrees; upright differs from that by left and right
        frame = pictures[t][:, ::-1] if options["orientation"] == "upright" else pictures[t]
        yield fit_frame(frame, options["size"], options["fit"])
