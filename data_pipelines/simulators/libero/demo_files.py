"""Recorded episodes in LIBERO's own HDF5 layout, `<suite>/<task>_demo.hdf5`.

As LIBERO's scripts/create_dataset.py writes it, and `readers.libero.hdf5` reads it: a row holds the
simulator's state before its action and what is seen after it. Beyond it, every demonstration has
what replays it to the bit (seed, env_seed, init_index) and the phases of its expert.

States and poses are no part of a dataset: the episode is played again from its seed and actions,
which checks that this gives what was recorded.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.phases import FIELDS
from data_pipelines.optional import require
from data_pipelines.readers.libero.hdf5 import CAMERAS
from data_pipelines.simulators.libero.motion import matrix_of, rotation_vector
from data_pipelines.simulators.libero.protocols import oriented
from data_pipelines.simulators.libero.simulator import Libero
from data_pipelines.whole_files import whole_file

_TAG = "libero-v1-scripted"
_COMPRESSION = {"compression": "gzip", "compression_opts": 4}
_CHUNK = 16  # frames


class Recorded(NamedTuple):
    """An episode of T actions: float32 (T, 7); state float32 (T + 1, 9); facts, its metadata;
    frames, camera -> upright uint8 (T + 1, H, W, 3)."""

    action: np.ndarray
    state: np.ndarray
    facts: dict[str, Any]
    frames: dict[str, np.ndarray]


def replay(simulator: Libero, task: str, episode: Recorded) -> dict[str, np.ndarray]:
    """Plays a recorded episode of T actions again.

    Returns, all float64: states (T, S), before the actions; after them ee_pos (T, 3), ee_quat
    (T, 4), x y z w, and proprio (T, 9), as `Libero.state`.

    Raises DataError where what happens is not, to the bit, what was recorded.
    """
    where = f"{task}, seed {episode.facts['seed']}"
    simulator.reset(episode.facts["seed"], task)
    rows: dict[str, list[np.ndarray]] = {"states": [], "ee_pos": [], "ee_quat": [], "proprio": []}
    for number, action in enumerate(episode.action):
        _compare(simulator, episode, number, where)
        rows["states"].append(simulator.simulator_state())
        simulator.step(action)
        position, quaternion = simulator.hand()
        rows["ee_pos"].append(position)
        rows["ee_quat"].append(quaternion)
        rows["proprio"].append(simulator.proprio())
    _compare(simulator, episode, len(episode.action), where)
    if not simulator.success():
        raise DataError(f"{where}: played again it is not solved; {_REMEDY}")
    return {name: np.stack(values) for name, values in rows.items()}


_REMEDY = "record it again, with one version of LIBERO, robosuite and MuJoCo on one kind of machine"


def _compare(simulator: Libero, episode: Recorded, step: int, where: str) -> None:
    apart = float(np.abs(simulator.state() - episode.state[step]).max())
    if apart:
        raise DataError(
            f"{where}: played again, step {step} is {apart:.2g} from what was recorded; {_REMEDY}"
        )


def write_task(
    path: pathlib.Path,
    simulator: Libero,
    task: str,
    episodes: Iterable[Recorded],
    recorded: str,
) -> None:
    """Writes one task's file, complete or not at all.

    recorded: JSON of what decides the content, kept as an attribute. Raises DataError as `replay`.
    """
    h5py = require("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = total = 0
    with whole_file(path) as unfinished, h5py.File(unfinished, "w") as file:
        data = file.create_group("data")
        for count, episode in enumerate(episodes, start=1):
            rows = replay(simulator, task, episode)
            total += len(episode.action)
            _write_demo(data.create_group(f"demo_{count - 1}"), simulator, episode, rows)
        data.attrs.update(_attributes(simulator) | {"num_demos": count, "total": total})
        data.attrs["recorded"] = recorded


def already_written(path: pathlib.Path, recorded: str) -> bool:
    """Whether the file is there; raises DataError if it is another recording's, or no such file."""
    h5py = require("h5py")
    if not path.exists():
        return False
    try:
        with h5py.File(path, "r") as file:
            held = file["data"].attrs.get("recorded")
    except (OSError, KeyError):
        held = None
    if held != recorded:
        raise DataError(f"{path} is there and is not of this recording; give another --hdf5")
    return True


def _write_demo(
    group: Any, simulator: Libero, episode: Recorded, rows: dict[str, np.ndarray]
) -> None:
    count = len(episode.action)
    gripper, joints = rows["proprio"][:, 7:], rows["proprio"][:, :7]
    turns = np.stack([rotation_vector(matrix_of(quaternion)) for quaternion in rows["ee_quat"]])
    last = np.zeros(count, np.uint8)
    last[-1] = 1
    arrays = {
        "actions": episode.action.astype(np.float64),
        "states": rows["states"],
        "rewards": last,
        "dones": last,
        "robot_states": np.concatenate([gripper, rows["ee_pos"], rows["ee_quat"]], axis=1),
        "obs/ee_pos": rows["ee_pos"],
        "obs/ee_ori": turns,
        "obs/ee_states": np.concatenate([rows["ee_pos"], turns], axis=1),
        "obs/gripper_states": gripper,
        "obs/joint_states": joints,
    }
    for name, values in arrays.items():
        group[name] = values
    for camera, upright in episode.frames.items():
        frames = oriented(upright[1:], "upside_down")
        chunks = (min(_CHUNK, count), *frames.shape[1:])
        name = f"obs/{CAMERAS[camera]}"
        group.create_dataset(name, data=frames, chunks=chunks, **_COMPRESSION)
    facts = episode.facts
    group.attrs.update(num_samples=count, init_state=rows["states"][0])
    group.attrs["model_file"] = portable_xml(simulator.model_xml())
    group.attrs.update({key: facts[key] for key in ("seed", "env_seed", "init_index")})
    group.attrs.update({key: json.dumps(facts[key]) for key in FIELDS})


def _attributes(simulator: Libero) -> dict[str, Any]:
    """Of the group `data`, as in the published files; no folder of this machine."""
    problem, text = simulator.problem()
    facts = simulator.task.details
    file = f"libero/libero/bddl_files/{facts['suite']}/{facts['task']}.bddl"
    settings = {
        "robots": ["Panda"],
        "camera_names": ["robot0_eye_in_hand", "agentview"],
        "camera_heights": simulator.size,
        "camera_widths": simulator.size,
        "control_freq": 20,
    }
    named = {"env_name": problem["problem_name"], "problem_name": problem["problem_name"]}
    return {
        "env_name": problem["problem_name"],
        "problem_info": json.dumps(problem),
        "env_args": json.dumps({"type": 1, **named, "bddl_file": file, "env_kwargs": settings}),
        "bddl_file_name": file,
        "bddl_file_content": text,
        "macros_image_convention": "opengl",
        "obs_when": "after",
        "rendering": simulator.rendering,
        "tag": _TAG,
    }


def portable_xml(xml: str) -> str:
    """A model whose files are named from their packages on, not from a folder of this machine."""
    return re.sub(r'file="[^"]*/(?:site|dist)-packages/', 'file="', xml)
