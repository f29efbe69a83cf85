"""LIBERO's HDF5 files: `<suite>/<task>_demo.hdf5`, one group `data/demo_N` per demonstration.

Layout (LIBERO's scripts/create_dataset.py): data/demo_N holds actions (T, 7), states (T, S),
robot_states (T, 9), rewards and dones (T,), and obs/ with agentview_rgb and eye_in_hand_rgb (T, H,
W, 3) uint8 upside down, ee_states (T, 6), gripper_states (T, 2), joint_states (T, 7); floats are
float64.
"""

from __future__ import annotations

import json
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.format.framing import fit_frame
from data_pipelines.format.phases import FIELDS
from data_pipelines.names import plain_name
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.readers.files import hdf5_files, paths
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.libero import alignment, language
from data_pipelines.readers.libero.labels import EE_POSE, GRIPPER, JOINTS, check_actions
from data_pipelines.readers.recordings import Item, ItemError, Recording, Skipped

CAMERAS = {"agentview": "agentview_rgb", "eye_in_hand": "eye_in_hand_rgb"}
# choice of --state -> ((array of a demo, width), ...) and the names of the dimensions
STATES = {
    "robot_states": (
        (("robot_states", 9),),
        (*GRIPPER, "ee_x", "ee_y", "ee_z", "ee_qx", "ee_qy", "ee_qz", "ee_qw"),
    ),
    "ee_gripper": ((("obs/ee_states", 6), ("obs/gripper_states", 2)), EE_POSE + GRIPPER),
    "joint_states": ((("obs/joint_states", 7),), JOINTS),
}
_TEXT = ("bddl_file_name", "bddl_file_content", "problem_info", "obs_when", "tag", "env_name")


def list_demos(
    root: pathlib.Path, files: Sequence[pathlib.Path], options: dict[str, Any]
) -> tuple[list[Item], list[Skipped], dict[str, Any]]:
    """One item per demo, files that cannot be used, and facts about the alignment of all files."""
    items, skipped = [], []
    facts: dict[str, Any] = {"files": 0, "decided_by": {}, "alignment_check": {}, "contradicts": []}
    for file in (path.relative_to(root) for path in files):
        try:
            found, decided, check = _demos_of(root, file, options)
        except ItemError as error:
            # Nobody knows how many demos a file holds that cannot be opened.
            skipped.append(Skipped(file.as_posix(), error.reason, str(error), episodes=None))
            continue
        items += found
        facts["files"] += 1
        for key, value in (("decided_by", decided), ("alignment_check", check)):
            facts[key][value] = facts[key].get(value, 0) + 1
        if check == "contradicts":
            facts["contradicts"].append(file.as_posix())
    if facts["contradicts"]:
        warnings.warn(
            f"in {len(facts['contradicts'])} files the simulator's states contradict the alignment "
            f"that is used ({facts['contradicts'][0]}, ...); see --observation-after-action",
            stacklevel=2,
        )
    return items, skipped, facts


def _demos_of(root: pathlib.Path, file: pathlib.Path, options) -> tuple[list[Item], str, str]:
    """The items of one file, what decided its alignment, and what its data say to that."""
    path = paths.inside(root, file, follow_links=follow_links(options))
    with hdf5_files.open_hdf5(path) as opened:
        data = hdf5_files.subgroup(opened, "data")
        demos = hdf5_files.demo_names(data)
        attributes = text_attributes(data)
        measured = _measured_first(data, demos)
        sizes = hdf5_files.demo_sizes(data, demos, "actions")
    follows, decided = alignment.decide(
        options["observation_after_action"], attributes.get("obs_when"), measured
    )
    suite = _suite(root, file, attributes)
    items = [
        Item(
            name=f"{file.as_posix()}:{demo}",
            payload={
                "file": file.as_posix(),
                "demo": demo,
                "suite": suite,
                "observation_after_action": follows,
            },
            size=size,
        )
        for demo, size in zip(demos, sizes, strict=True)
    ]
    return items, decided, alignment.verdict(follows, measured)


def text_attributes(data: Any) -> dict[str, str]:
    """The attributes of the group `data` that are text and are used."""
    values = {name: hdf5_files.text_attribute(data, name) for name in _TEXT}
    return {name: value for name, value in values.items() if value}


def _measured_first(data, demos: Sequence[str]) -> bool | None:
    """As `_measured` says of the first demo that is a group."""
    for name in demos:
        try:
            return _measured(hdf5_files.subgroup(data, name))
        except ItemError as error:
            if error.reason == "unsafe path":
                raise
    return None


def _measured(demo) -> bool | None:
    try:
        if not hdf5_files.has_dataset(demo, "states"):
            return None
        joints = hdf5_files.read_array(demo, "obs/joint_states", 7)
        states = hdf5_files.read_array(demo, "states", -1)
    except ItemError as error:
        if error.reason == "unsafe path":
            raise
        return None
    return alignment.observation_follows(states, joints)


def _suite(root: pathlib.Path, file: pathlib.Path, attributes: dict[str, str]) -> str:
    """The folder of the file; for files directly in the source, the task definition's folder."""
    definition = pathlib.PurePosixPath(attributes.get("bddl_file_name", ""))
    return plain_name(file.parent.name or definition.parent.name or root.name, "libero")


def read_demo(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    """One recording of N = T frames; raises ItemError for a demo that cannot be used."""
    where, root = item.payload, paths.source_folder(options["source"])
    path = paths.inside(root, where["file"], follow_links=follow_links(options))
    cameras, follows = options["cameras"], where["observation_after_action"]
    with hdf5_files.open_hdf5(path) as opened:
        demo = hdf5_files.subgroup(opened, f"data/{where['demo']}")
        counts = {name: _frame_count(demo, f"obs/{CAMERAS[name]}") for name in cameras}
        actions = hdf5_files.read_array(demo, "actions", 7)
        rewards = hdf5_files.read_array(demo, "rewards")
        state = read_state(demo, options["state"])
        measured = _measured(demo)
        phases = _phases(demo, follows, len(actions) - 1)
        attributes = text_attributes(opened["data"])
        convention = hdf5_files.text_attribute(opened["data"], "macros_image_convention")
    lengths = [*counts.values(), len(rewards), *([] if state is None else [len(state)])]
    if any(length != len(actions) for length in lengths):
        raise ItemError(
            "wrong shape", f"{item.name}: {len(actions)} actions, other arrays have rows {lengths}"
        )
    check_actions(actions, item.name)
    flip = options["orientation"] == "upright" and convention != "opencv"
    names = camera_datasets(where["suite"], cameras)
    task = pathlib.PurePosixPath(where["file"]).stem.removesuffix("_demo")
    yield Recording(
        name=item.name,
        frames={
            names[camera]: _pictures(path, where["demo"], camera, flip, options)
            for camera in cameras
        },
        action=alignment.steps(actions, follows),
        reward=alignment.steps(rewards, follows),
        state=state,
        episode_return=float(rewards.sum()),
        metadata={
            "language": language.language_of_file_name(task),
            "language_bddl": language.language_of_bddl(attributes),
            "task": task,
            "suite": where["suite"],
            "file": where["file"],
            "demo": where["demo"],
            "num_samples": len(actions),
            "bddl_file_name": attributes.get("bddl_file_name", ""),
            "observation_after_action": follows,
            "alignment_check": alignment.verdict(follows, measured),
            **phases,
        },
    )


def _phases(demo, follows: bool, steps: int) -> dict[str, list[list]]:
    """The phases of format.phases that a recorder left as attributes, JSON, by row.

    Here by step: step 0 is the first row, or the second where observations follow. Raises ItemError
    for what is none.
    """
    found: dict[str, list[list]] = {}
    for field in FIELDS:
        text = hdf5_files.text_attribute(demo, field)
        if not text:
            continue
        try:
            starts = {max(0, int(row) - follows): str(name) for row, name in json.loads(text)}
        except (ValueError, TypeError, RecursionError) as error:
            detail = f"{demo.name}: attribute {field} is no [[row, name], ...] ({error})"
            raise ItemError("bad metadata", detail) from error
        found[field] = [[step, starts[step]] for step in sorted(starts) if step < steps]
    return found


def _frame_count(demo, name: str) -> int:
    try:
        return hdf5_files.frame_count(demo, name)
    except ItemError as error:
        hint = "`prepare robomimic` reads files with other cameras and robots"
        raise ItemError(error.reason, f"{error}. {hint}") from None


def read_state(demo: Any, choice: str) -> np.ndarray | None:
    """Float32 (T, S) as STATES says, None for 'none'."""
    if choice == "none":
        return None
    parts = [hdf5_files.read_array(demo, name, width) for name, width in STATES[choice][0]]
    if len({len(part) for part in parts}) != 1:
        raise ItemError("wrong shape", f"{demo.name}: parts of the state differ in length")
    return np.concatenate(parts, axis=1)


def _pictures(path, demo: str, camera: str, flip: bool, options) -> Iterator[np.ndarray]:
    for frame in hdf5_files.iter_frames(path, f"data/{demo}", f"obs/{CAMERAS[camera]}"):
        yield fit_frame(frame[::-1] if flip else frame, options["size"], options["fit"])
