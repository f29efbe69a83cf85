"""Datasets with made-up latents, whose every value tells which transition it is of."""

import hashlib

import numpy as np

from data_pipelines.exporters.episodes import open_latent_set
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes

SLOTS, WIDTH, CODES = 3, 2, 9
NULL = (-0.5, 0.25)


def slots_of(episode, t):
    """float32 (SLOTS, WIDTH) of the transition that begins at frame t."""
    return (1000 * episode + t + np.arange(SLOTS * WIDTH).reshape(SLOTS, WIDTH) / 8).astype("f4")


def ids_of(episode, t):
    return (episode + t + np.arange(SLOTS)) % CODES


def latent_set(data, folder, splits=("train", "test"), gap=1, discrete=True, keep=2, model="m"):
    """Writes sidecars for the only dataset of a folder, and opens both."""
    info = open_dataset(data)
    (name,) = info.datasets
    made_by = {"model": model, "step": 7, "slots": SLOTS, "slot_width": WIDTH}
    made_by |= {"codebook_size": CODES if discrete else None, "budgets": [1, 2, 3], "null": NULL}
    for split in splits:
        episodes = split_episodes(info, name, split)
        places = [
            (number, t)
            for number, length in zip(episodes.numbers, episodes.lengths, strict=True)
            for t in range(length - gap)
        ]
        arrays = {"slots": np.stack([slots_of(*place) for place in places])}
        if discrete:
            arrays["ids"] = np.stack([ids_of(*place) for place in places]).astype(np.int32)
        given = {"kind": "latents", "alignment": "transition", "gap": gap, "made_by": made_by}
        write_sidecar(folder, info, name, split, arrays, **given)
    return open_latent_set(info, name, splits, folder, keep=keep)


def check_latents(rows, episode, length, gap=1, keep=2, discrete=True):
    """rows: column -> (N, ...), as any of the formats gave them back."""
    count = length - gap
    np.testing.assert_array_equal(
        rows["codes"][:count], [slots_of(episode, t) for t in range(count)]
    )
    np.testing.assert_array_equal(rows["codes"][count:], np.tile(np.float32(NULL), (gap, SLOTS, 1)))
    np.testing.assert_array_equal(rows["keep"], [keep] * count + [0] * gap)
    np.testing.assert_array_equal(rows["is_pad"], [False] * count + [True] * gap)
    assert ("ids" in rows) == discrete
    if discrete:
        np.testing.assert_array_equal(
            rows["ids"][:count], [ids_of(episode, t) for t in range(count)]
        )
        np.testing.assert_array_equal(rows["ids"][count:], np.full((gap, SLOTS), CODES))


def hashes(folder):
    """Every file below a folder -> sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
