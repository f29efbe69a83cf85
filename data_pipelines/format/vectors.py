"""Datasets whose observation is a vector of numbers and no picture: the state is what is observed.

Such a dataset is a dataset like any other; its spec's `details` say what is special:

    observation         "state"
    observed            names of the columns of `state` that a model may see; the others are ground
                        truth (a disturbance that nobody measured) that evaluators may read
    state_statistics    {rows, mean, std, min, max} of the columns over the rows of `train`

Its frames are a placeholder of one black pixel, which nobody needs to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.typed_json import as_type

OBSERVATION = "observation"
OBSERVED = "observed"
STATISTICS = "state_statistics"
PLACEHOLDER = (1, 1, 1)  # H, W, C
# Fields of the DatasetSpec of every dataset of vectors.
SPEC_FIELDS: dict[str, Any] = {"image_shape": PLACEHOLDER, "codec": "raw"}
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so multiplication is a bijection of 64-bit integers


def vector_details(observed: Sequence[str]) -> dict[str, Any]:
    """What `details` of such a spec begin with. observed: columns that a model may see."""
    return {OBSERVATION: "state", OBSERVED: list(observed)}


def is_vector(spec: DatasetSpec) -> bool:
    """Whether the state is what is observed, and the frames show nothing."""
    return spec.details.get(OBSERVATION) == "state"


def observed_columns(spec: DatasetSpec) -> tuple[int, ...]:
    """Numbers of the columns of `state` that a model may see, in the order of the state.

    Raises DataError for a dataset of pictures and for names that are no columns.
    """
    if not is_vector(spec):
        raise DataError(
            f"dataset {spec.name}: its observations are pictures, not vectors; a dataset of vectors "
            "is made by `prepare table` or `prepare plant`"
        )
    names = as_type(spec.details.get(OBSERVED), list[str], where=f"dataset {spec.name}, observed")
    unknown = sorted(set(names) - set(spec.state_names))
    if unknown or not names:
        raise DataError(
            f"dataset {spec.name}: observed columns {', '.join(unknown) or 'are none'}; its state "
            f"has: {', '.join(spec.state_names)}"
        )
    return tuple(i for i, name in enumerate(spec.state_names) if name in names)


def state_statistics(spec: DatasetSpec) -> dict[str, np.ndarray]:
    """float64 (S,) each of mean, std, min and max of the state's columns over `train`.

    std is the standard deviation of all rows (divided by their number); 0 where a column never
    changes in train. Raises DataError where the folder holds none.
    """
    found = spec.details.get(STATISTICS)
    if found is None:
        raise DataError(
            f"dataset {spec.name}: no statistics of its state; it holds no vectors, or no episode "
            "of train"
        )
    where = f"dataset {spec.name}, {STATISTICS}"
    parts = as_type(found, dict[str, list[float] | int], where=where)
    arrays = {key: np.array(parts.get(key), np.float64) for key in ("mean", "std", "min", "max")}
    for key, array in arrays.items():
        if array.shape != (len(spec.state_names),):
            raise DataError(f"{where}: {key} has shape {array.shape}; prepare the folder again")
    return arrays


def placeholders(count: int) -> np.ndarray:
    """uint8 (count, 1, 1, 1): the frames of an episode of so many instants."""
    return np.zeros((count, *PLACEHOLDER), np.uint8)


def row_hashes(state: np.ndarray) -> np.ndarray:
    """uint64 (N,): a hash of every row of a state float32 (N, S); equal bits, equal hash.

    It stands for the hash of a picture where episodes are compared, so that the same rows in two
    splits are found.
    """
    bits = np.ascontiguousarray(state, "<f4").view("<u4").astype(np.uint64)
    combined = np.full(len(bits), _MIX, np.uint64)
    for column in bits.T:
        combined = (combined ^ column) * _MIX
        combined ^= combined >> np.uint64(29)
    return combined
