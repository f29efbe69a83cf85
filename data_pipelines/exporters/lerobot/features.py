"""The features of a LeRobot set: what info.json declares, and the Arrow columns they become.

A feature of shape [1] is a plain number, of shape [n] a list of fixed length, of shape [n, m] a
list of lists; pictures are {bytes, path}. Hugging Face's `datasets` is told the same in the schema.

Dimension keys: K slots, D slot width.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from data_pipelines.exporters.columns import CODES, IDS, IS_PAD, KEEP, LatentFacts
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.optional import require

LATENT = "latent_action."
PICTURES = "observation.images."
ACTION, STATE, REWARD, DONE = "action", "observation.state", "next.reward", "next.done"
COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def latent_features(facts: LatentFacts) -> dict[str, Any]:
    """The entries of info.json of the latent columns; `info` says how they are to be read."""
    about = {
        "model": facts.model,
        "gap": facts.gap,
        "null": list(facts.null),
        "null_id": facts.null_id,
        "budgets": list(facts.budgets),
    }
    entries = {
        CODES: _feature("float32", [facts.slots, facts.slot_width], ["slot", "value"]),
        IDS: _feature("int64", [facts.slots], [f"slot_{k}" for k in range(facts.slots)]),
        KEEP: _feature("int64", [1]),
        IS_PAD: _feature("bool", [1]),
    }
    entries[CODES]["info"] = about
    return {LATENT + name: entries[name] for name in facts.columns}


def set_features(spec: DatasetSpec, pictures: str, facts: LatentFacts) -> dict[str, Any]:
    """All entries of a set made of a dataset. pictures: the feature of its frames, "" for none."""
    features: dict[str, Any] = {}
    if pictures:
        names = ["height", "width", "channels"]
        features[pictures] = _feature("image", list(spec.image_shape), names)
    if spec.state_names:
        features[STATE] = _feature("float32", [len(spec.state_names)], list(spec.state_names))
    if spec.action is not None and spec.action.kind == "discrete":
        features[ACTION] = _feature("int64", [1])
        features[ACTION]["info"] = {"actions": list(spec.action.names)}
    elif spec.action is not None:
        features[ACTION] = _feature("float32", [spec.action.count], list(spec.action.names))
    if spec.has_reward:
        features[REWARD] = _feature("float32", [1])
    features[DONE] = _feature("bool", [1])
    features |= latent_features(facts)
    counters = {"timestamp": "float32"}
    return features | {name: _feature(counters.get(name, "int64"), [1]) for name in COUNTERS}


def arrow_schema(features: dict[str, Any]) -> Any:
    """The pyarrow schema of rows with these features."""
    pa = require("pyarrow")
    fields = [pa.field(name, _arrow_type(entry)) for name, entry in features.items()]
    info = {"info": {"features": {k: _hub_type(v) for k, v in features.items()}}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(info)})


def arrow_column(entry: dict[str, Any], values: Any) -> Any:
    """The Arrow array of one column. values: (N, ...) array, or N encoded pictures."""
    pa = require("pyarrow")
    kind = _arrow_type(entry)
    if entry["dtype"] == "image":
        cells = [{"bytes": data, "path": None} for data in values]
        return pa.array(cells, kind)
    rows = np.asarray(values, entry["dtype"])
    shape = entry["shape"]
    column = pa.array(rows.reshape(-1))
    if shape == [1]:
        return column
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(column, type=kind)
    for size in reversed(shape):  # Through Python's lists it would take ten times as long.
        starts = np.arange(0, len(column) + 1, size, dtype=np.int32)
        column = pa.ListArray.from_arrays(starts, column)
    return column


def extended_schema(schema: Any, features: dict[str, Any]) -> Any:
    """A schema of rows with more columns; what it says of itself to `datasets` is kept in step."""
    pa = require("pyarrow")
    for name, entry in features.items():
        schema = schema.append(pa.field(name, _arrow_type(entry)))
    metadata = dict(schema.metadata or {})
    try:
        told = json.loads(metadata.get(b"huggingface", b"null"))
        told["info"]["features"] |= {k: _hub_type(v) for k, v in features.items()}
        metadata[b"huggingface"] = json.dumps(told).encode()
    except (ValueError, KeyError, TypeError):
        metadata.pop(b"huggingface", None)  # readers then go by the types of the columns
    metadata.pop(b"pandas", None)  # names the columns of before
    return schema.with_metadata(metadata)


def _feature(dtype: str, shape: list[int], names: list[str] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": names}


def _arrow_type(entry: dict[str, Any]) -> Any:
    pa = require("pyarrow")
    if entry["dtype"] == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    scalar = pa.bool_() if entry["dtype"] == "bool" else getattr(pa, entry["dtype"])()
    shape = entry["shape"]
    if shape == [1]:
        return scalar
    if len(shape) == 1:
        return pa.list_(scalar, shape[0])
    return pa.list_(pa.list_(scalar))


def _hub_type(entry: dict[str, Any]) -> dict[str, Any]:
    """The feature in the words of Hugging Face's `datasets`."""
    if entry["dtype"] == "image":
        return {"_type": "Image"}
    scalar, shape = {"dtype": entry["dtype"], "_type": "Value"}, entry["shape"]
    if shape == [1]:
        return scalar
    if len(shape) == 1:
        return {"feature": scalar, "length": shape[0], "_type": "Sequence"}
    return {"shape": shape, "dtype": entry["dtype"], "_type": "Array2D"}
