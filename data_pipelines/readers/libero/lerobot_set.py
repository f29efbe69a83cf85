"""LIBERO as a LeRobot set: four suites in one, pictures 256 x 256 turned by 180 degrees.

Names of the features differ between the sets on the hub; the first that exists is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_pipelines.readers import lerobot, paths
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.errors import DataError
from data_pipelines.framing import fit_frame
from data_pipelines.readers.libero.layout import check_actions
from data_pipelines.recordings import Item, Recording

CAMERAS = {
    "agentview": ("observation.images.image", "observation.images.agentview", "image"),
    "eye_in_hand": (
        "observation.images.image2",
        "observation.images.wrist_image",
        "observation.images.eye_in_hand",
        "wrist_image",
    ),
}
ACTIONS = ("action", "actions")
STATES = ("observation.state", "state")
BASE = "libero"  # the sets do not say which suite an episode is from


def feature(data: lerobot.LeRobot, names: tuple[str, ...], what: str) -> str:
    """The first of `names` that the set has; raises DataError if none."""
    for name in names:
        if name in data.features:
            return name
    raise DataError(
        f"{data.root}: no {what} (looked for {', '.join(names)}); it has {', '.join(data.features)}"
    )


def list_items(data: lerobot.LeRobot, cameras: dict[str, str]) -> list[Item]:
    """One item per episode; `cameras`: name -> feature."""
    return [
        Item(
            name=f"episode_{episode['index']:06d}",
            payload={"episode": episode},
            size=max(1, episode["length"]),
        )
        for episode in lerobot.list_episodes(data, list(cameras.values()))
    ]


def read_episode(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    """One recording of N = T frames: row j holds obs[j] and the action that follows it."""
    data = lerobot.open_lerobot(paths.source_folder(options["source"]))
    episode = item.payload["episode"]
    action = feature(data, ACTIONS, "action")
    columns = {"action": action}
    if options["state"] != "none":
        columns["state"] = feature(data, STATES, "state")
    arrays = lerobot.read_columns(data, episode, list(columns.values()))
    check_actions(arrays[action], item.name)
    names = camera_datasets(BASE, options["cameras"])
    tasks = episode["tasks"]
    yield Recording(
        name=item.name,
        frames={
            names[camera]: _pictures(data, episode, camera, options)
            for camera in options["cameras"]
        },
        action=arrays[action][:-1],
        state=arrays[columns["state"]] if "state" in columns else None,
        metadata={
            "language": tasks[0] if tasks else "",
            "task": tasks[0].replace(" ", "_") if tasks else "",
            "file": episode["data"],
            "episode": episode["index"],
            "num_samples": episode["length"],
        },
    )


def _pictures(data, episode, camera: str, options):
    name = feature(data, CAMERAS[camera], f"camera {camera}")
    for frame in lerobot.iter_frames(data, episode, name):
        # stored turned by 180 degrees; upright differs from that by left and right
        frame = frame[:, ::-1] if options["orientation"] == "upright" else frame
        yield fit_frame(frame, options["size"], options["fit"])
