"""Which content a run is trained on, told by the hashes that the manifests of its data hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import sidecar_fingerprint, split_fingerprint
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options


def data_hashes(data: Mapping[str, Any], splits: Sequence[str]) -> dict[str, str]:
    """{"<dataset>/<split>": sha256} of everything that a config's `data` section reads.

    Of the content alone: where folders lie and what shards are called is of no account. In a
    mixture the name of the entry comes first; the column of a sidecar comes last.

    Raises:
      DataError: as `training_batches`.
    """
    hashes = {}
    for mixed, entry in loader_options(data).entries.items():
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            for split in splits:
                key = "/".join(filter(None, (mixed, name, split)))
                hashes[key] = split_fingerprint(info, name, split)
                for column, given in entry.sidecars.items():
                    path = given["path"] if isinstance(given, Mapping) else given
                    hashes[f"{key}/{column}"] = sidecar_fingerprint(path, name, split)
    return hashes
