"""The beginning of an episode of vectors as curves, one below the other: there are no pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import observed_columns
from data_pipelines.loading.windows import ClipReader

ROWS = 1000  # of the episode that are drawn
_MOST = 16  # columns
_HEIGHT, _CAPTION = 48, 16
_INK = {"observed": "black", "exogenous": "firebrick", "not observed": "grey"}


def curves(info: DatasetInfo, name: str, width: int) -> Image.Image:
    """Each column of the first episode of the first split, over its own range; `width` pixels.

    Black: observed; red: exogenous; grey: neither.
    """
    spec = info.spec(name)
    state, where = first_rows(info, name)
    chosen = list(enumerate(spec.state_names))[:_MOST]
    picture = Image.new("RGB", (width, _CAPTION + len(chosen) * (_HEIGHT + _CAPTION)), "white")
    draw = ImageDraw.Draw(picture)
    draw.font = ImageFont.load_default(12)
    more = len(spec.state_names) - len(chosen)
    draw.text((2, 0), where + (f"; {more} more columns" if more else ""), fill="black")
    y = _CAPTION
    for i, column in chosen:
        values, kind = state[:, i], _kind(spec, i)
        low, high = float(values.min()), float(values.max())
        told = f"{column}: {low:.4g} to {high:.4g}" + ("" if kind == "observed" else f", {kind}")
        draw.text((2, y), told, fill=_INK[kind])
        heights = 1 - (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
        steps = np.linspace(0, width - 1, len(values))
        points = np.stack([steps, y + _CAPTION + heights * (_HEIGHT - 4)], 1)
        draw.line([tuple(point) for point in points.tolist()], fill=_INK[kind])
        y += _HEIGHT + _CAPTION
    return picture


def _kind(spec: DatasetSpec, column: int) -> str:
    if spec.state_names[column] in spec.exogenous_state:
        return "exogenous"
    return "observed" if column in observed_columns(spec) else "not observed"


def first_rows(info: DatasetInfo, name: str) -> tuple[np.ndarray, str]:
    """(state float32 (T, S), which rows these are): the first ROWS of the first episode."""
    split = next(split for split, counts in info.counts[name].items() if counts["records"])
    reader = ClipReader(info, name, split)
    episode, length = int(reader.index[0, 0]), int(reader.index[0, 3])
    count = min(ROWS, length)
    state = np.empty((count, len(reader.spec.state_names)), np.float32)
    for record, row in enumerate(reader.index):
        start = int(row[1])
        if int(row[0]) != episode or start >= count:
            break
        part = reader.clip(record).decode_label("state")[: count - start]
        state[start : start + len(part)] = part
    return state, f"{split} episode {episode}, rows 0 to {count - 1}"
