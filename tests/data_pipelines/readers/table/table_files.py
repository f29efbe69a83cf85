"""Small logs as CSV and Parquet files, and the episodes of the folders that are made of them."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.windows import ClipReader
from data_pipelines.registry import recipe_options

COUNT = 60


def log(seed=0, count=COUNT, start=0.0):
    """Columns of a log whose rows are a second apart; `level` follows `valve`."""
    rng = np.random.default_rng(seed)
    valve = rng.integers(0, 3, count)
    level = np.cumsum(valve - 1.0) + 0.01 * rng.standard_normal(count)
    return {
        "t": start + np.arange(count),
        "level": level,
        "flow": rng.random(count),
        "valve": valve,
    }


def csv_text(columns, delimiter=","):
    rows = zip(*columns.values(), strict=True)
    lines = [columns.keys(), *rows]
    return "".join(delimiter.join(map(str, line)) + "\n" for line in lines)


def write(path, columns, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = csv_text(columns, delimiter)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), path)
    else:
        path.write_text(text)
    return path


def made(source, out, *arguments, workers=1):
    options = recipe_options("table", f"--source={source}", *arguments)
    assert prepare("table", out, options, engine=Engine("local", workers))
    return open_dataset(out)


def episodes(info, name="table"):
    """source -> (split, state, action) of every episode, put together from its records."""
    found = {}
    for split in info.counts[name]:
        reader = ClipReader(info, name, split)
        sources = {facts["episode"]: facts["source"] for facts in info.episodes(name, split)}
        parts = {}
        for record in range(len(reader)):
            number, start, length, whole = reader.index[record].tolist()
            state, action = parts.setdefault(
                number, (np.zeros((whole, len(reader.spec.state_names)), np.float32), [])
            )
            clip = reader.clip(record)
            state[start : start + length] = clip.decode_label("state")
            if reader.spec.action is not None:
                owned = reader.spec.clip_stride
                action.extend(clip.decode_label("action")[:owned].tolist())
        for number, (state, action) in parts.items():
            found[sources[number]] = split, state, np.array(action)
    return found
