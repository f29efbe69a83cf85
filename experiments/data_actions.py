"""The one table of actions that all datasets of a config share."""

from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.spec import ActionSpec
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options


def shared_actions(data: Mapping[str, Any]) -> ActionSpec:
    """The actions of the datasets that a config's `data` section reads; manifests are read only.

    Raises:
      DataError: a dataset without actions, two with different ones, or as `training_batches`.
    """
    specs = {}
    for mixed, entry in loader_options(data).entries.items():
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            specs["/".join(filter(None, (mixed, name)))] = info.spec(name).action
    first, shared = next(iter(specs.items()))
    for name, spec in specs.items():
        if spec is None:
            raise DataError(
                f"dataset {name} holds no actions; leave it out: name others in data.datasets"
            )
        if spec != shared:
            raise DataError(
                f"datasets {first} and {name} have different actions, {_told(shared)} and "
                f"{_told(spec)}, and one network gives actions of one table; name datasets of one "
                "table in data.datasets"
            )
    return shared


def _told(spec: ActionSpec) -> str:
    return f"{spec.kind} {', '.join(spec.names)}"
