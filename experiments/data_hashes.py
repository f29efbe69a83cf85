"""Which content a run is trained on, told by the hashes that the manifests of its data hold."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options


def data_hashes(data: Mapping[str, Any], splits: Sequence[str]) -> dict[str, str]:
    """{"<dataset>/<split>": sha256} of everything that a config's `data` section reads.

    Of the records alone: where the folder lies and what its files are called is of no account.
    In a mixture the name of the entry comes first.

    Raises:
      DataError: as `training_batches`.
    """
    hashes = {}
    for mixed, entry in loader_options(data).entries.items():
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            for split in splits:
                info.shard_paths(name, split)  # A split that is not there is told as such.
                shards = [[shard["records"], shard["sha256"]] for shard in info.shards[name][split]]
                hashes["/".join(filter(None, (mixed, name, split)))] = hashlib.sha256(
                    json.dumps(shards).encode()
                ).hexdigest()
    return hashes
