"""What the data of a policy hold: cameras, states, targets, skills, and their statistics.

Manifests are read, sidecars, and the states or actions of records of the split that is trained on.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.sidecar_manifest import Facts
from data_pipelines.format.sidecars import Sidecar, open_sidecar, sidecar_folder
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import Entry, loader_options, plain_options
from data_pipelines.loading.windows import ClipReader
from experiments.data_actions import shared_actions
from flexlam_jax.checkpoints.params import saved_config
from flexlam_jax.errors import ConfigError

MOST_RECORDS = 4096  # of a dataset, evenly spread, that statistics of labels are taken from
_BLOCK = 65_536  # rows


def with_data(config: Any) -> ConfigDict:
    """The config with what its data say of `reads` and `predicts`; as given without data, on paper.

    Statistics are of the whole split that is trained on, whatever subset of it is; those that are
    given are kept, those of `reads.like` are taken from its config.

    Raises:
      ConfigError: `reads.like` was trained with other states or skills.
      CheckpointError: it is no run.
      DataError: actions that are no continuous ones, or differ between datasets; states or columns
        that are lacking, differ, or are no finite numbers; columns of several models.
    """
    config = ConfigDict(config.to_dict())
    if not config.data.get("path") and not config.data.get("mixture"):
        return config
    reads, predicts = config.reads, config.predicts
    like = _statistics_of(reads.like) if reads.like else {}
    if not reads.cameras:
        reads.cameras = _only_camera([spec for _, _, spec in _sources(config.data)])
    if reads.proprio:
        _find_states(config, like)
    if reads.skill:
        column = _Column(config, reads.skill)
        _check_latents(config, column)
        reads.skill_width, reads.skill_source = column.width, column.source
        _keep_given(reads, "skill", like, "source", lambda: _moments(column.rows()))
    if predicts.columns:
        _find_columns(config)
    else:
        _find_actions(config)
    return config


def with_camera(data: Mapping[str, Any], camera: str) -> dict[str, Any]:
    """The `data` section with the datasets of one camera alone, in a mixture in every entry."""
    data = dict(data)
    if data.get("mixture"):
        entries = data["mixture"].items()
        data["mixture"] = {name: {**entry, "cameras": (camera,)} for name, entry in entries}
        return data
    return {**data, "cameras": (camera,)}


def without_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` section without sidecars, in a mixture of every entry."""
    data = {**data, "sidecars": {}}
    if data.get("mixture"):
        data["mixture"] = {
            name: {**entry, "sidecars": {}} for name, entry in data["mixture"].items()
        }
    return data


def _sources(data: Mapping[str, Any]) -> list[tuple[Entry, DatasetInfo, DatasetSpec]]:
    """Every dataset that the section reads; as for the loader, not those without the split."""
    found = []
    options = loader_options(data)
    for entry in options.entries.values():
        info = open_dataset(entry.path)
        names = select_datasets(info, entry.datasets, entry.cameras)
        held = [name for name in names if options.split in info.counts[name]]
        found += [(entry, info, info.spec(name)) for name in (not entry.datasets and held) or names]
    return found


def _only_camera(specs: Sequence[DatasetSpec]) -> tuple[str, ...]:
    names = {spec.camera for spec in specs}
    return tuple(names) if len(names) == 1 and names != {""} else ()


def _seen(config: Any) -> list[tuple[Entry, DatasetInfo, DatasetSpec]]:
    """One dataset for each recording: that of the first camera."""
    cameras = config.reads.cameras
    return _sources(with_camera(config.data, cameras[0]) if cameras else config.data)


def _find_states(config: Any, like: Mapping[str, Any]) -> None:
    sources = _seen(config)
    first = sources[0][2]
    for _, _, spec in sources:
        if not spec.state_names or spec.state_names != first.state_names:
            raise DataError(
                f"config.reads.proprio=True, but dataset {spec.name} has the states "
                f"{', '.join(spec.state_names) or 'none'} and {first.name} "
                f"{', '.join(first.state_names) or 'none'}; name datasets of one kind of state in "
                "data.datasets, or set config.reads.proprio=False"
            )
    config.reads.proprio_width = len(first.state_names)
    config.reads.proprio_names = tuple(first.state_names)
    _keep_given(config.reads, "proprio", like, "names", lambda: _moments(_labels(config, "state")))


def _find_actions(config: Any) -> None:
    cameras = config.reads.cameras
    spec = shared_actions(with_camera(config.data, cameras[0]) if cameras else config.data)
    if spec.kind != "continuous":
        raise DataError(
            f"the data have discrete actions ({', '.join(spec.names)}), and a policy of "
            "config.kind='policy' gives continuous ones; use experiments/configs/"
            "behaviour_cloning.py, or let it predict columns: config.predicts.columns"
        )
    predicts = config.predicts
    predicts.width, predicts.names = spec.count, tuple(spec.names)
    if predicts.low or predicts.high:
        return
    if spec.low is not None and spec.high is not None:
        predicts.low, predicts.high = (spec.low,) * spec.count, (spec.high,) * spec.count
    else:
        predicts.low, predicts.high = _range(_labels(config, "action"))


def _find_columns(config: Any) -> None:
    predicts = config.predicts
    columns = [_Column(config, name, predicts.keep) for name in predicts.columns]
    predicts.width = sum(column.width for column in columns)
    predicts.source = ", ".join(column.source for column in columns)
    if not predicts.low and not predicts.high:
        ranges = [_range(column.rows()) for column in columns]
        predicts.low = sum((low for low, _ in ranges), ())
        predicts.high = sum((high for _, high in ranges), ())


def _check_latents(config: Any, skill: "_Column") -> None:
    """Raises DataError where the skills were made of other latent actions than are predicted."""
    lam = skill.facts.made_by.get("lam", {}).get("fingerprint")
    for name in config.predicts.columns:
        latents = _Column(config, name, config.predicts.keep).facts
        model = str(latents.made_by.get("model"))
        if lam and latents.kind == "latents" and model != lam:
            raise DataError(
                f"config.reads.skill={config.reads.skill!r} names skills of the latent actions of "
                f"model {lam[:12]}, and config.predicts.columns the latent actions ({name}) of "
                f"{model[:12]}; take both of one latent action model"
            )


class _Column:
    """A column of `data.sidecars` in all datasets: what a row is, and its rows.

    Attributes: width, of a row laid flat; source, which array of which model it is; facts, of the
    first sidecar.
    """

    def __init__(self, config: Any, name: str, keep: int = 0):
        self._name, self._keep = name, keep
        self._opened = [_opened(config, name, *source) for source in _seen(config)]
        (sidecar, array), *others = self._opened
        self.facts = sidecar.facts
        shape = self._shape(sidecar.facts, array)
        self.width, self.source = int(np.prod(shape, dtype=np.int64)), self._told(sidecar, array)
        for other, of_other in others:
            if self._told(other, of_other) != self.source:
                raise DataError(
                    f"data.sidecars.{name}: {sidecar.place} holds {self.source}, {other.place} "
                    f"{self._told(other, of_other)}; write both with one model"
                )

    def rows(self) -> Iterator[np.ndarray]:
        """float64 (n, width), all rows of the split."""
        for sidecar, array in self._opened:
            values = sidecar.array(array)
            for first in range(0, len(values), _BLOCK):
                yield cut(values[first : first + _BLOCK], self._keep, 1).astype(np.float64)

    def _shape(self, facts: Facts, array: str) -> tuple[int, ...]:
        row = facts.arrays[array]
        where = f"data.sidecars.{self._name}"
        if np.dtype(row.dtype).kind != "f" or not row.shape:
            raise DataError(
                f"{where} has rows {row.dtype} {tuple(row.shape)}, and a policy reads and predicts "
                "vectors of real numbers; name an array of those, as the slots of "
                "experiments.extract_latents instead of their ids"
            )
        if self._keep and (len(row.shape) != 2 or self._keep > row.shape[0]):
            raise DataError(
                f"config.predicts.keep={self._keep}, but {where} has rows of shape "
                f"{tuple(row.shape)}, not (K, D) with K slots of which so many can be kept"
            )
        return (self._keep, *row.shape[1:]) if self._keep else tuple(row.shape)

    def _told(self, sidecar: Sidecar, array: str) -> str:
        shape = "x".join(map(str, self._shape(sidecar.facts, array)))
        of = sidecar.facts.made_by
        which = "".join(f", {key} {of[key]}" for key in ("stage", "cuts", "seed") if key in of)
        return f"{array} ({shape}) of model {of.get('model', 'unknown')}{which}"


def cut(rows: np.ndarray, keep: int, axes: int) -> np.ndarray:
    """Rows of slots (..., K, D) cut to the first `keep`, 0 for all, and laid flat after `axes`."""
    kept = rows[(slice(None),) * axes + (slice(keep or None),)] if rows.ndim > axes + 1 else rows
    return kept.reshape(*rows.shape[:axes], -1)


def _opened(
    config: Any, name: str, entry: Entry, info: DatasetInfo, spec: DatasetSpec
) -> tuple[Sidecar, str]:
    given = entry.sidecars.get(name)
    if given is None:
        raise DataError(
            f"config names the column {name!r}, and data.sidecars of {info.path} has "
            f"{', '.join(entry.sidecars) or 'none'}; give its folder, data.sidecars.{name}=FOLDER"
        )
    given = given if isinstance(given, Mapping) else {"path": given}
    place = sidecar_folder(given["path"], spec.name, config.data.split)
    sidecar = open_sidecar(given["path"], info, spec.name, config.data.split)
    held = list(sidecar.facts.arrays)
    array = given.get("array") or (held[0] if len(held) == 1 else name)
    if array not in held:
        raise DataError(f"data.sidecars.{name}: {place} holds no array {array!r}; it holds {held}")
    return sidecar, array


def _labels(config: Any, label: str) -> Iterator[np.ndarray]:
    """float64 (n, width): the label of at most MOST_RECORDS records of every dataset."""
    for _, info, spec in _seen(config):
        reader = ClipReader(info, spec.name, config.data.split)
        step = -(-len(reader) // MOST_RECORDS)
        for record in range(0, len(reader), step):
            yield reader.clip(record).decode_label(label).astype(np.float64)


def _statistics_of(path: str) -> dict[str, Any]:
    """The section `reads` of another policy's run."""
    config = saved_config(path)
    if config.get("kind") != "policy":
        raise ConfigError(
            f"config.reads.like={path!r} is a run of kind {config.get('kind')!r}, not of a policy"
        )
    return config["reads"]


def _keep_given(
    section: Any, name: str, like: Mapping[str, Any], identity: str, find: Callable[[], Any]
) -> None:
    """Sets mean and scale: those given, else those of `like`, else those that `find` gives.

    `like` must agree in <name>_<identity>, and have read such numbers.
    """
    mean, scale, told = f"{name}_mean", f"{name}_scale", f"{name}_{identity}"
    if section[mean] or section[scale]:
        return
    if not like:
        section[mean], section[scale] = find()
        return
    mine, theirs = (plain_options({told: of[told]})[told] for of in (section, like))
    if mine != theirs or not like[mean]:
        raise ConfigError(
            f"config.reads.like={section.like!r}: that policy was trained with {told} "
            f"{theirs or 'none'}, this one with {mine}; name another run, or leave it out"
        )
    section[mean], section[scale] = tuple(like[mean]), tuple(like[scale])


def _moments(blocks: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(means, standard deviations) of rows; 1 for what is constant."""
    found = _statistics(blocks)
    spread = np.where(found.std > 1e-6 * np.maximum(1, np.abs(found.mean)), found.std, 1.0)
    return _numbers(found.mean), _numbers(spread)


def _range(blocks: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(least, largest) of rows."""
    found = _statistics(blocks)
    return _numbers(found.low), _numbers(found.high)


@dataclasses.dataclass(frozen=True)
class _Statistics:
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def _statistics(blocks: Iterable[np.ndarray]) -> _Statistics:
    count, total, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
    for block in blocks:
        count += len(block)
        total, squares = total + block.sum(0), squares + np.square(block).sum(0)
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
    mean = total / count
    if not np.isfinite(np.concatenate([low, high, mean])).all():
        raise DataError(
            "the numbers that a policy reads or predicts hold some that are not finite, or of one "
            "width; look at them with data_pipelines.tools.inspection, and prepare them again"
        )
    return _Statistics(low, high, mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0)))


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, values))
