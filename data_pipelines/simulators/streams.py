"""What is recorded of one played episode: every camera with every exogenous process, and maps.

A stream is one dataset. Its key is the camera, after "<process>/" where there are several processes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.distractors.composite import Distractors, distract, distractors
from data_pipelines.distractors.moves import Moves, action_directions
from data_pipelines.distractors.options import Distraction
from data_pipelines.errors import DataError
from data_pipelines.format.maps import AGENT_MASK, BACKGROUND_MASK, EXOGENOUS_MASK
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.simulators.simulator import Simulator


class Stream(NamedTuple):
    """world: its exogenous process, "" where there is one only."""

    world: str
    camera: str

    @property
    def key(self) -> str:
        return f"{self.world}/{self.camera}" if self.world else self.camera


def stream_of(key: str) -> Stream:
    """The stream with this key."""
    world, _, camera = key.rpartition("/")
    return Stream(world, camera)


def stream_datasets(
    name: str, cameras: Sequence[str], maps: Sequence[str], added: Distraction | None
) -> dict[Stream, str]:
    """Stream -> name of its dataset, <name>[_<process>][_<camera>]: one camera alone, with or without
    maps beside it, is not named."""
    datasets = {}
    for world in added.worlds if added else ("",):
        base = f"{name}_{world}" if world else name
        named = camera_datasets(base, cameras) | {each: f"{base}_{each}" for each in maps}
        datasets |= {Stream(world, camera): dataset for camera, dataset in named.items()}
    return datasets


def recorded_maps(
    simulator: type[Simulator], asked: Iterable[str], added: Distraction | None
) -> list[str]:
    """Maps that are recorded beside the camera: those asked for by name, and with masks those that
    there are."""
    maps = list(asked)
    if added and added.masks:
        maps += [each for each in (AGENT_MASK,) if each in simulator.maps and each not in maps]
        maps.append(EXOGENOUS_MASK)
    return maps


def check_distraction(
    simulator: type[Simulator],
    cameras: Sequence[str],
    maps: Sequence[str],
    added: Distraction | None,
) -> None:
    """Raises DataError for maps of several cameras, and for what this simulator cannot show."""
    needs_background = added is not None and added.needs_background
    if needs_background and BACKGROUND_MASK not in simulator.maps:
        raise DataError(
            f"--distractor=background: {simulator.__name__} does not say where its background shows; "
            "use another distractor"
        )
    if (maps or needs_background) and len(cameras) > 1:  # it is drawn by the map of one
        raise DataError(
            f"masks, maps and --distractor=background are of one camera, these are "
            f"{', '.join(cameras)}; name one of them with --cameras"
        )


def check_actions(action: ActionSpec | None, added: Distraction | None, where: str) -> None:
    """Raises DataError where distractors cannot follow actions as they are to."""
    if not added or not added.correlation:
        return
    if action is None or action.count < 2 and action.kind == "discrete":
        raise DataError(
            f"{where} has no actions to choose from, so no distractor can follow them; use "
            "--distractor-correlation=0"
        )
    action_directions(np.zeros((0, *action.shape), action.dtype), action)


def rendered(views: Iterable[str], added: Distraction | None) -> tuple[str, ...]:
    """Cameras and maps that the simulator must show for these streams, by key."""
    cameras = [stream_of(key).camera for key in views]
    if added and added.needs_background:
        cameras.append(BACKGROUND_MASK)
    return tuple(camera for camera in dict.fromkeys(cameras) if camera != EXOGENOUS_MASK)


class Shown(NamedTuple):
    """An episode as one stream shows it: frames (N, S, S, C) and state (N, ...)."""

    frames: np.ndarray
    state: np.ndarray


def shown(
    frames: dict[str, np.ndarray],
    state: np.ndarray,
    action: np.ndarray,
    views: dict[str, DatasetSpec],
    added: Distraction | None,
    seed: tuple[int, ...],
) -> Iterator[tuple[str, Shown]]:
    """Every stream by its key, of one episode that was played: a function of these arguments.

    frames: by camera or map; action: as it was done; seed: of the episode, whole numbers.
    """
    if added is None:
        yield from ((key, Shown(frames[key], state)) for key in views)
        return
    for world in added.worlds:
        streams = {key: spec for key, spec in views.items() if stream_of(key).world == world}
        if not streams:
            continue
        spec = next(iter(streams.values()))
        process = _process(spec, action, added, (*seed, zlib.crc32(f"exogenous {world}".encode())))
        whole = np.concatenate([state, process.state], axis=1)
        mask: np.ndarray | None = None
        for key in streams:  # cameras come before maps
            camera = stream_of(key).camera
            if not streams[key].is_map:
                drawn, mask = distract(frames[camera], process, frames.get(BACKGROUND_MASK))
            elif camera == EXOGENOUS_MASK:
                drawn = mask
            elif camera == AGENT_MASK:  # what a distractor covers does not show
                drawn = np.where(mask > 0, 0, frames[camera]).astype(np.uint8)
            else:
                drawn = frames[camera]
            yield key, Shown(drawn, whole)


def _process(
    spec: DatasetSpec, action: np.ndarray, added: Distraction, seed: tuple[int, ...]
) -> Distractors:
    directions = np.zeros((len(action), 2))
    if added.correlation:
        directions = action_directions(action, spec.action)
    moves = Moves(directions, added.correlation, added.memory)
    size = spec.image_shape[0]
    return distractors(moves, size, added.strengths, seed, video=added.video)
