"""Which fields of an RLDS step become frames, actions, states and language."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.names import plain_name
from data_pipelines.readers.files.paths import natural
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds.episodes import Episode, Pictures
from data_pipelines.readers.tfds.features import Leaf
from data_pipelines.readers.tfds.folder import TfdsFolder

# Each of them also with a number behind it: DROID has up to three texts per episode, any of which
# may be empty.
LANGUAGE_KEYS = (
    "language_instruction",
    "observation/natural_language_instruction",
    "observation/language_instruction",
    "natural_language_instruction",
    "instruction",
    "observation/instruction",
    "episode_metadata/language_instruction",
    "episode_metadata/natural_language_instruction",
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The fields in use. images: camera -> key; action_keys and state_keys are joined in order;
    language_keys are asked in order until one of them has a text."""

    images: dict[str, str]
    action: ActionSpec | None
    action_keys: tuple[str, ...]
    state_keys: tuple[str, ...]
    state_names: tuple[str, ...]
    reward_key: str
    language_keys: tuple[str, ...]


def choose(folder: TfdsFolder, options: dict[str, Any]) -> Choice:
    """The fields that `options` ask for; raises DataError naming what the folder has instead."""
    leaves = folder.step_leaves()
    state_keys = _numeric(folder, options["state_key"], "--state-key")
    action_keys = _numeric(folder, options["action_key"], "--action-key")
    reward = leaves.get("reward")
    return Choice(
        images=_images(folder, options["image_keys"]),
        action=_action(folder, action_keys, options["action_count"]) if action_keys else None,
        action_keys=action_keys,
        state_keys=state_keys,
        state_names=_names(leaves, state_keys),
        reward_key="reward" if reward and reward.is_number and not reward.shape else "",
        language_keys=_language(folder, options["language_key"]),
    )


def _images(folder: TfdsFolder, keys: Sequence[str]) -> dict[str, str]:
    found = {key: leaf for key, leaf in folder.step_leaves().items() if leaf.is_image}
    wrong = [key for key in keys if key not in found or keys.count(key) > 1]
    if wrong or not found:
        raise DataError(
            f"{folder.path}: --image-keys names {', '.join(wrong) or 'nothing'}; colour images of "
            f"a step are: {', '.join(found) or 'none'}"
        )
    chosen = list(keys) or sorted(found)
    # Keys share their first parts ("observation/"), so the last one names the camera if it can.
    short = [plain_name(key.rsplit("/", 1)[-1]) for key in chosen]
    for names in (short, [plain_name(key) for key in chosen]):
        if len(set(names)) == len(names):
            return dict(zip(names, chosen, strict=True))
    return {f"camera_{number}": key for number, key in enumerate(chosen)}


def _numeric(folder: TfdsFolder, keys: Sequence[str], option: str) -> tuple[str, ...]:
    """Expands dicts to their numeric fields by sorted key; checks the others."""
    leaves, expanded = folder.step_leaves(), []
    for key in keys:
        inner = sorted(name for name in leaves if name.startswith(key + "/"))
        group = [name for name in inner if leaves[name].is_number] if inner else [key]
        if not group or not all(name in leaves and leaves[name].is_number for name in group):
            numeric = sorted(name for name, leaf in leaves.items() if leaf.is_number)
            raise DataError(
                f"{folder.path}: {option} names {key}, which is no numeric field of a step; those "
                f"are: {', '.join(numeric) or 'none'}. An empty {option}= leaves it out"
            )
        expanded += group
    return tuple(expanded)


def _names(leaves: dict[str, Leaf], keys: Sequence[str]) -> tuple[str, ...]:
    """One name per number: the key, with an index where it holds several."""
    names = []
    for key in keys:
        count = int(np.prod(leaves[key].shape, dtype=np.int64))
        names += [f"{key}_{i}" for i in range(count)] if leaves[key].shape else [key]
    return tuple(names)


def _action(folder: TfdsFolder, keys: Sequence[str], count: int) -> ActionSpec:
    """Discrete if the action is one integer per step; else continuous, booleans as 0 and 1."""
    leaves = folder.step_leaves()
    only = leaves[keys[0]]
    if len(keys) == 1 and not only.shape and np.issubdtype(np.dtype(only.dtype), np.integer):
        count = count or only.classes
        if not count:
            raise DataError(
                f"{folder.path}: the action {keys[0]} is an integer, and the folder does not say "
                "how many there are; add --action-count=N"
            )
        return ActionSpec("discrete", tuple(f"{keys[0]}_{i}" for i in range(count)))
    if count:
        raise DataError(
            f"{folder.path}: --action-count is for one integer per step, but the action is "
            + ", ".join(f"{key} {leaves[key].dtype} {leaves[key].shape}" for key in keys)
        )
    return ActionSpec("continuous", _names(leaves, keys))


def _language(folder: TfdsFolder, chosen: str) -> tuple[str, ...]:
    """The keys that were asked for, by comma, or all LANGUAGE_KEYS that are there."""
    texts = {k for k, leaf in folder.step_leaves().items() if leaf.kind == "text"}
    texts |= {k for k, leaf in folder.leaves.items() if not leaf.sequences and leaf.kind == "text"}
    texts |= {
        k for k, leaf in folder.step_leaves().items() if k in LANGUAGE_KEYS and _holds_letters(leaf)
    }
    keys = [key.strip() for key in chosen.split(",") if key.strip()]
    for key in keys:
        if key not in texts:
            raise DataError(
                f"{folder.path}: --language-key {key} is no text; those are: "
                f"{', '.join(sorted(texts)) or 'none'}"
            )
    if keys:
        return tuple(keys)
    ordered = sorted(texts, key=natural)
    return tuple(
        key
        for known in LANGUAGE_KEYS
        for key in ordered
        if re.fullmatch(re.escape(known) + r"(_?\d+)?", key)
    )


def _holds_letters(leaf: Leaf) -> bool:
    """Whether a field may be the bytes of a text as numbers, padded with zeros (Language-Table)."""
    return leaf.is_number and len(leaf.shape) == 1 and leaf.numpy_dtype.kind in "iu"


def joined(episode: Episode, keys: Sequence[str]) -> np.ndarray:
    """float32 (N, sum of sizes): the fields side by side, flattened per step."""
    columns = []
    for key in keys:
        values = episode.steps[key]
        columns.append(values.reshape(len(values), -1).astype(np.float32))
    if len({len(column) for column in columns}) > 1:
        raise ItemError("step count", f"fields {', '.join(keys)} differ in their number of steps")
    return np.concatenate(columns, axis=1)


def language(episode: Episode, *keys: str) -> str:
    """The first text that is not empty, key after key and step after step, or ""."""
    for key in keys:
        fields = episode.steps if key in episode.steps else episode.metadata
        if fields.held(key):
            for text in _texts(fields[key]):
                if text.strip():
                    return text
    return ""


def _texts(values: str | Sequence | np.ndarray) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, np.ndarray):
        for row in values:
            letters = row[(row > 0) & (row < 256)].astype(np.uint8)
            yield letters.tobytes().decode("utf-8", "replace")
    else:
        for value in values:
            yield from _texts(value)


def shows_something(pictures: Pictures | Sequence[np.ndarray]) -> bool:
    """Whether a camera's pictures may be some: not all missing (no bytes), not all the same.

    Encoded pictures are compared as they are; this is what flags are held against, no more.
    """
    if isinstance(pictures, Pictures):
        return len(set(pictures.encoded)) > 1
    return any(not np.array_equal(picture, pictures[0]) for picture in pictures[1:])


def wrong_flags(episode: Episode, images: dict[str, str]) -> list[str]:
    """The flags has_<camera> of the episode that its pictures contradict.

    Publishers copy them from elsewhere (the debug set of Octo says that it has no camera at all),
    so pictures count, not flags.
    """
    flags = {f"has_{key.rsplit('/', 1)[-1]}": key for key in images.values()}
    wrong = []
    for key in episode.metadata:
        image = flags.get(key.rsplit("/", 1)[-1])
        if image is None or not episode.metadata.held(key) or not episode.steps.held(image):
            continue
        if bool(episode.metadata[key]) != shows_something(episode.steps[image]):
            wrong.append(key)
    return wrong


def check_flags(episode: Episode, count: int) -> None:
    """Raises ItemError unless is_first and is_last, where present, mark the ends only."""
    for flag, inner in (("is_first", slice(1, None)), ("is_last", slice(0, -1))):
        if flag not in episode.steps:
            continue
        values = episode.steps[flag]
        if len(values) != count:
            raise ItemError("step count", f"{flag} has {len(values)} steps of {count}")
        if np.any(values[inner]):
            raise ItemError("broken episode", f"{flag} is set inside of the record")
