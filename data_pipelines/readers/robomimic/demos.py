"""The groups demo_N of a robomimic file: what they have in common, and the parts of one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.files import hdf5_files
from data_pipelines.readers.libero.language import language_of_bddl
from data_pipelines.readers.recordings import ItemError
from data_pipelines.typed_json import parse_json

_MASKS = {"train": "train", "valid": "validation", "test": "test"}
_TEXTS = ("problem_info", "bddl_file_content")
IMAGE = "_image"


@dataclasses.dataclass(frozen=True)
class Shape:
    """What the demonstrations of one dataset have in common."""

    environment: str  # '' if the file does not say
    fps: float  # 0 likewise
    cameras: tuple[str, ...]  # datasets below obs
    action: int  # numbers of an action
    state: tuple[int, ...]  # width of each of --state
    reward: bool


def shape_of(data: Any, names: Sequence[str], options: Mapping[str, Any]) -> Shape:
    """As the first of the groups `names` is that has what is needed.

    Raises ItemError if none has: what the first one lacks; and for a file of LIBERO.
    """
    if "bddl_file_name" in data.attrs:
        raise ItemError(
            "other format",
            f"{data.file.filename}: a file of LIBERO, whose pictures are upside down and one "
            "action later; use `prepare libero`",
        )
    environment, fps = environment_of(data)
    problem = None
    for name in names:
        try:
            demo = hdf5_files.subgroup(data, name)
            return Shape(
                environment,
                fps,
                cameras=_cameras(demo, options["cameras"]),
                action=hdf5_files.row_width(demo, options["action"]),
                state=tuple(hdf5_files.row_width(demo, f"obs/{key}") for key in options["state"]),
                reward=hdf5_files.has_dataset(demo, "rewards"),
            )
        except ItemError as error:
            problem = problem or error
    raise problem


def _cameras(demo, asked: Sequence[str]) -> tuple[str, ...]:
    """Datasets of obs with pictures."""
    obs = hdf5_files.subgroup(demo, "obs")
    there, held = hdf5_files.picture_names(obs), hdf5_files.member_names(obs)
    chosen = [next((n for n in (name, name + IMAGE) if n in there), "") for name in asked]
    if not there or "" in chosen:
        wanted = f"no camera {asked[chosen.index('')]}" if "" in chosen else "no pictures"
        raise ItemError(
            "no images",
            f"{demo.file.filename}: {demo.name}/obs: {wanted}; uint8 (T, H, W, 3) are: "
            f"{', '.join(there) or 'none'}, it holds {', '.join(held) or 'nothing'}",
        )
    return tuple(chosen or there)


def environment_of(data: Any) -> tuple[str, float]:
    """(name of the environment, steps per second); ('', 0.0) where the file does not say."""
    text = hdf5_files.text_attribute(data, "env_args")
    if not text:
        return "", 0.0
    given = _json(text, f"{data.file.filename}: attribute env_args")
    inner = given.get("env_kwargs")
    rate = inner.get("control_freq") if isinstance(inner, dict) else None
    usable = type(rate) in (int, float) and 0 < rate <= 1000  # also catches NaN
    name = given.get("env_name")
    return name if isinstance(name, str) else "", float(rate) if usable else 0.0


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        return parse_json(text, dict[str, Any], where=where)
    except DataError as error:
        raise ItemError("unreadable", str(error)) from None


def published_splits(opened: Any) -> dict[str, str]:
    """demo -> split; {} unless mask/train and another list are there: one alone is a filter."""
    found: dict[str, str] = {}
    lists = {name: hdf5_files.read_texts(opened, f"mask/{name}") for name in _MASKS}
    if not lists["train"] or not (lists["valid"] or lists["test"]):
        return {}
    for name, demos in lists.items():
        for demo in demos:
            if found.setdefault(demo, _MASKS[name]) != _MASKS[name]:
                raise ItemError(
                    "wrong split",
                    f"{opened.filename}: {demo} is in mask/{name} and in another list; mend them",
                )
    return found


def check_lengths(demo: Any, rows: int, cameras: Sequence[str]) -> None:
    counts = {f"obs/{camera}": hdf5_files.frame_count(demo, f"obs/{camera}") for camera in cameras}
    if "rewards" in demo:
        counts["rewards"] = hdf5_files.row_count(demo, "rewards")
    if "num_samples" in demo.attrs:
        counts["attribute num_samples"] = demo.attrs["num_samples"]
    wrong = {name: count for name, count in counts.items() if np.any(count != rows)}
    if wrong:
        name, count = next(iter(wrong.items()))
        raise ItemError(
            "wrong shape",
            f"{demo.file.filename}: {demo.name} has {rows} actions, {name} is {count}",
        )


def has_last(demo: Any, keys: Sequence[str], rows: int) -> bool:
    """Whether next_obs has all that is needed of the observation after the last action."""
    return all(hdf5_files.row_count(demo, f"next_obs/{key}") == rows for key in keys)


def read_state(demo: Any, keys: Sequence[str], whole: bool) -> np.ndarray | None:
    """Float32 (T or T + 1, S); None without keys."""
    if not keys:
        return None
    parts = []
    for key in keys:
        values = hdf5_files.read_array(demo, f"obs/{key}", -1)
        last = hdf5_files.read_array(demo, f"next_obs/{key}", -1)[-1:] if whole else values[:0]
        parts.append(np.concatenate([values, last]))
    if len({len(part) for part in parts}) != 1:
        raise ItemError(
            "wrong shape", f"{demo.file.filename}: {demo.name}: parts of the state differ in length"
        )
    return np.concatenate(parts, axis=1)


def language_of(data: Any, demo: Any) -> str:
    """What RoboCasa writes of each demonstration, or LIBERO's scripts of a file; '' if neither."""
    text = hdf5_files.text_attribute(demo, "ep_meta")
    found = _json(text, f"{demo.file.filename}: {demo.name}: ep_meta").get("lang") if text else ""
    if isinstance(found, str) and found.strip():
        return found.strip()
    return language_of_bddl({name: hdf5_files.text_attribute(data, name) for name in _TEXTS})
