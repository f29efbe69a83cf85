"""Which features of a LeRobot set become frames, actions, states and rewards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.names import plain_name
from data_pipelines.readers.lerobot.info import MAX_WIDTH, LeRobot
from data_pipelines.readers.recordings import ItemError

ACTIONS = ("action", "actions")
STATE = "observation.state"
REWARD = "next.reward"  # that of the row's action


@dataclasses.dataclass(frozen=True)
class Choice:
    """The features in use; those of an action or a state are joined in order.

    cameras: name -> feature. asked: whether the user named the cameras. reward: '' for none.
    """

    cameras: dict[str, str]
    asked: bool
    action: ActionSpec | None
    action_keys: tuple[str, ...]
    state_keys: tuple[str, ...]
    state_names: tuple[str, ...]
    reward: str

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the rows that labels are made of."""
        return (*self.action_keys, *self.state_keys, *([self.reward] if self.reward else []))


def choose(data: LeRobot, options: Mapping[str, Any]) -> Choice:
    """The features that the options ask for; raises DataError naming what the set has instead.

    options: cameras (list of names, [] for all), action and state (None for what is usual, else
    lists of features, [] for none), action_count.
    """
    action, state = options["action"], options["state"]
    if action is None:
        action = [name for name in ACTIONS if name in data.features][:1] or [ACTIONS[0]]
    if state is None:
        state = [name for name in [STATE] if name in data.features]
    action_keys = _numeric(data, action, "--action")
    state_keys = _numeric(data, state, "--state")
    reward = data.features.get(REWARD)
    return Choice(
        cameras=_cameras(data, options["cameras"]),
        asked=bool(options["cameras"]),
        action=_action(data, action_keys, options["action_count"]) if action_keys else None,
        action_keys=action_keys,
        state_keys=state_keys,
        state_names=_names(data, state_keys),
        reward=REWARD if reward and reward.is_number and reward.width == 1 else "",
    )


def camera_names(data: LeRobot) -> dict[str, str]:
    """Name -> feature of every declared camera: the last part of the feature's name, where that is
    another one for each."""
    names: dict[str, str] = {}
    features = [name for name, feature in data.features.items() if feature.is_camera]
    last = [plain_name(feature.rsplit(".", 1)[-1]) for feature in features]
    for feature, short in zip(features, last, strict=True):
        name = short if last.count(short) == 1 else plain_name(feature)
        while name in names:
            name += "_"
        names[name] = feature
    return names


def _cameras(data: LeRobot, asked: Sequence[str]) -> dict[str, str]:
    names = camera_names(data)
    chosen: dict[str, str] = {}
    for text in asked:
        fitting = [n for n, f in names.items() if text in (n, f, f.rsplit(".", 1)[-1])]
        if len(fitting) != 1:
            raise DataError(
                f"{data.root}: --cameras names {text}, which is "
                f"{'no camera' if not fitting else 'several'}; cameras are: "
                f"{', '.join(f for f in names.values()) or 'none'}"
            )
        chosen[fitting[0]] = names[fitting[0]]
    if not asked:
        chosen = {n: f for n, f in names.items() if not data.features[f].is_depth}
    if not chosen:
        raise DataError(
            f"{data.root}: no cameras among its features {', '.join(data.features)}"
            + (": those that there are hold depth; name them with --cameras" if names else "")
        )
    return chosen


def _numeric(data: LeRobot, keys: Sequence[str], option: str) -> tuple[str, ...]:
    numeric = [name for name, feature in data.features.items() if feature.is_number]
    for key in keys:
        if key not in numeric:
            raise DataError(
                f"{data.root}: {option} names {key}, which is no numeric feature; those are: "
                f"{', '.join(numeric) or 'none'}. An empty {option}= leaves it out"
            )
        if any(side < 1 for side in data.features[key].shape or []):
            raise DataError(
                f"{data.root}/meta/info.json: features.{key}.shape is {data.features[key].shape}, "
                f"which holds no numbers; leave it out of {option}"
            )
    if sum(data.features[key].width for key in keys) > MAX_WIDTH:
        raise DataError(f"{data.root}: {option} has more than {MAX_WIDTH} numbers in all")
    return tuple(keys)


def _names(data: LeRobot, keys: Sequence[str]) -> tuple[str, ...]:
    """One name per number; the feature is put before names that would repeat."""
    plain = [name for key in keys for name in data.names(key)]
    if len(set(plain)) == len(plain):
        return tuple(plain)
    return tuple(f"{key}.{name}" for key in keys for name in data.names(key))


def _action(data: LeRobot, keys: Sequence[str], count: int) -> ActionSpec:
    """Continuous, whatever the type of the numbers; discrete if `count` says that they are
    choices."""
    if not count:
        return ActionSpec("continuous", _names(data, keys))
    features = [data.features[key] for key in keys]
    if len(keys) > 1 or features[0].width != 1 or "int" not in features[0].dtype:
        raise DataError(
            f"{data.root}: --action-count is for one integer per row, but the action is "
            + ", ".join(f"{k} {f.dtype} {f.shape}" for k, f in zip(keys, features, strict=True))
        )
    if count > MAX_WIDTH:
        raise DataError(f"--action-count is {count}; at most {MAX_WIDTH} choices are possible")
    return ActionSpec("discrete", tuple(f"{keys[0]}_{i}" for i in range(count)))


def joined(arrays: Mapping[str, np.ndarray], keys: Sequence[str]) -> np.ndarray:
    """float32 (T, sum of widths): the features side by side, flattened per row."""
    return np.concatenate([arrays[key].reshape(len(arrays[key]), -1) for key in keys], axis=1)


def discrete(values: np.ndarray, where: str) -> np.ndarray:
    """float32 (T, 1) as int32 (T,); raises ItemError unless all are whole."""
    whole = np.rint(values[:, 0])
    if not (whole == values[:, 0]).all():
        raise ItemError("bad labels", f"{where}: an action is no whole number")
    return whole.astype(np.int32)
