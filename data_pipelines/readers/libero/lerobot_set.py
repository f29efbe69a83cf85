"""LIBERO as a LeRobot set: four suites in one, pictures 256 x 256 turned by 180 degrees.

Names of the features differ between the sets on the hub; the first that exists is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.readers import lerobot
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.readers.files import paths
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.libero.labels import ACTION, check_actions
from data_pipelines.readers.recordings import Item, Recording

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
HINT = "For the set of another robot use `prepare lerobot`"
BASE = "libero"  # the sets do not say which suite an episode is from


def feature(data: lerobot.LeRobot, names: tuple[str, ...], what: str) -> str:
    """The first of `names` that the set has; raises DataError if none."""
    for name in names:
        if name in data.features:
            return name
    raise DataError(
        f"{data.root}: no {what} (looked for {', '.join(names)}); it has "
        f"{', '.join(data.features)}. {HINT}"
    )


def check_actions_feature(data: lerobot.LeRobot) -> None:
    """Raises DataError unless the set declares actions as wide as LIBERO's."""
    name = feature(data, ACTIONS, "action")
    width = data.features[name].width
    if width != ACTION.count:
        raise DataError(f"{data.root}: {name} has {width} numbers, LIBERO's have 7. {HINT}")


def list_items(data: lerobot.LeRobot, cameras: dict[str, str]) -> tuple[list[Item], dict[str, Any]]:
    """One item per episode, and facts for the manifest; `cameras`: name -> feature."""
    episodes = lerobot.list_episodes(data, list(cameras.values()))
    items = [
        Item(
            name=f"episode_{episode['index']:06d}",
            payload={"episode": episode},
            size=max(1, episode["length"]),
        )
        for episode in episodes
    ]
    return items, {"episodes_without_text": lerobot.without_text(data, episodes)}


def read_episode(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    """One recording of N = T frames: row j holds obs[j] and the action that follows it."""
    root = paths.source_folder(options["source"])
    data = lerobot.open_lerobot(root, follow_links=follow_links(options))
    episode = item.payload["episode"]
    action = feature(data, ACTIONS, "action")
    columns = {"action": action}
    if options["state"] != "none":
        columns["state"] = feature(data, STATES, "state")
    arrays = lerobot.read_columns(data, episode, list(columns.values()))
    check_actions(arrays[action], item.name)
    names = camera_datasets(BASE, options["cameras"])
    texts = lerobot.episode_texts(data, episode)
    yield Recording(
        name=item.name,
        frames={
            names[camera]: _pictures(data, episode, camera, options)
            for camera in options["cameras"]
        },
        action=arrays[action][:-1],
        state=arrays[columns["state"]] if "state" in columns else None,
        metadata=lerobot.language_fields(texts)
        | {
            "task": texts[0].replace(" ", "_") if texts else "",
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
