"""Recorded episodes whose phases an expert wrote down: their true actions, or latent actions."""

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.phases import phase_numbers
from data_pipelines.format.sidecars import held_datasets, open_sidecar, split_episodes
from data_pipelines.loading.windows import ClipReader
from experiments.skill_study.sequences import SPLITS, Sequences, padded

_LEVELS = ("keyframes", "stages")  # The finest first.


def recorded(path: str, latents: str = "") -> dict[str, Sequences]:
    """The episodes of every split of a folder.

    Args:
      path: a dataset folder with phases, as prepare ogbench and libero-record write it.
      latents: folder of sidecars with the array slots, whose values are read, of the datasets that
        it has; "" for true actions, which are read once for all cameras.

    Raises:
      DataError: no such folder, no phases, no continuous actions or no latent actions in it.
    """
    info = open_dataset(path)
    found = {split: _split(info, split, latents) for split in SPLITS}
    longest = max(len(valid) for rows in found.values() for valid, *_ in rows)
    splits = {}
    for split, rows in found.items():
        arrays = (padded(list(column), longest) for column in zip(*rows, strict=True))
        valid, values, *levels = arrays
        splits[split] = Sequences(values, valid, tuple(levels))
    return splits


def _split(info: DatasetInfo, split: str, latents: str) -> list[tuple[np.ndarray, ...]]:
    """(valid (T,), latents (T, F), true boundaries (T,) of each level) of each episode."""
    rows = []
    for name in _named(info, latents):
        where = f"{info.path}, dataset {name}, split {split!r}"
        values = _slots(info, name, split, latents) if latents else _actions(info, name, split)
        for episode, of in zip(info.episodes(name, split), values, strict=True):
            told = f"{where}, episode {episode['episode']}"
            levels = [
                _starts(phase_numbers(episode, level, where=told))[: len(of)] for level in _LEVELS
            ]
            rows.append((np.ones(len(of), bool), of, *levels))
    return rows


def _named(info: DatasetInfo, latents: str) -> list[str]:
    """The datasets that have latents, or one of each recording.

    All where none has latents, so that opening them tells what is missing.
    """
    if latents:
        return held_datasets(latents, info) or [*info.datasets]
    first = {spec.recording or name: name for name, spec in reversed(info.datasets.items())}
    return [name for name in info.datasets if name in first.values()]


def _starts(phase: np.ndarray) -> np.ndarray:
    """bool (T,): where the numbers (T,) change, and the first."""
    return np.diff(phase, prepend=-1) != 0


def _actions(info: DatasetInfo, name: str, split: str) -> list[np.ndarray]:
    """float32 (T, A), the actions of each episode."""
    spec = info.spec(name)
    if spec.action is None or spec.action.kind != "continuous":
        raise DataError(
            f"{info.path}: dataset {name} holds no continuous actions; give --latents, latent "
            "actions that experiments.extract_latents wrote"
        )
    reader = ClipReader(info, name, split)
    episodes: dict[int, list[np.ndarray]] = {}
    for record, owned in enumerate(reader.owned_starts(1)):
        clip = reader.clip(record)
        actions = clip.decode_label("action")[:owned].astype(np.float32)
        episodes.setdefault(clip.integer("episode"), []).append(actions)
    return [np.concatenate(parts) for parts in episodes.values()]


def _slots(info: DatasetInfo, name: str, split: str, folder: str) -> list[np.ndarray]:
    """float32 (T, K D), the slots of each episode."""
    sidecar = open_sidecar(folder, info, name, split)
    episodes = split_episodes(info, name, split)
    ends = episodes.offsets("transition", sidecar.facts.gap)[1:-1]
    values = np.asarray(sidecar.array("slots"), np.float32)
    return np.split(values.reshape(len(values), -1), ends)
