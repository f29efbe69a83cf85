"""`prepare inspect`: what a folder holds, in words and as a picture."""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from data_pipelines.errors import DataError
from data_pipelines.manifest import DatasetInfo, open_dataset
from data_pipelines.records import Clip
from data_pipelines.loading.windows import ClipReader

COLUMNS = 6  # transitions per row of the contact sheet
_TILE, _TEXT, _MARGIN = 96, 14, 4


def summary(info: DatasetInfo) -> str:
    """The manifest without its long lists."""
    manifest = info.manifest
    short = {
        key: value for key, value in manifest.items() if key not in ("datasets", "skipped_items")
    }
    lines = [json.dumps(short, indent=1)]
    for name, spec in info.datasets.items():
        counts = ", ".join(f"{s} {c['transitions']}" for s, c in info.counts[name].items())
        actions = "no actions" if spec.action is None else f"actions {' '.join(spec.action.names)}"
        lines.append(
            f"{name}: {'x'.join(map(str, spec.image_shape))} {spec.codec}; {counts} transitions; "
            f"{actions}; labels {', '.join(spec.labels) or 'none'}; {spec.behaviour}"
        )
    lines += [
        f"skipped {item}: {reason}: {detail}" for item, reason, detail in manifest["skipped_items"]
    ]
    return "\n".join(lines)


def contact_sheet(info: DatasetInfo, seed: int, rows_per_dataset: int = 2) -> Image.Image:
    """Random transitions of every dataset: o_t beside o_{t+1}, the action and the split beneath."""
    rng = np.random.default_rng(seed)
    width = COLUMNS * (2 * _TILE + _MARGIN)
    height = len(info.datasets) * (_TEXT + rows_per_dataset * (_TILE + _TEXT + _MARGIN))
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = 0
    for name in info.datasets:
        draw.text((2, y), name, fill="black")
        y += _TEXT
        splits = [split for split, count in info.counts[name].items() if count["records"]]
        readers = {split: ClipReader(info, name, split) for split in splits}
        for _ in range(rows_per_dataset):
            for column in range(COLUMNS):
                split = splits[int(rng.integers(len(splits)))]
                reader = readers[split]
                clip = reader.clip(int(rng.integers(len(reader))))
                x = column * (2 * _TILE + _MARGIN)
                _draw_transition(sheet, draw, (x, y), clip, reader, split, rng)
            y += _TILE + _TEXT + _MARGIN
    return sheet


def _draw_transition(sheet, draw, corner, clip: Clip, reader: ClipReader, split: str, rng) -> None:
    x, y = corner
    offset = int(rng.integers(clip.frame_count() - 1))
    for i, frame in enumerate(clip.decode_frames(np.array([offset, offset + 1]))):
        picture = Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).convert("RGB")
        sheet.paste(picture.resize((_TILE, _TILE), Image.Resampling.NEAREST), (x + i * _TILE, y))
    text = f"{split} {clip.integer('episode')}/{clip.integer('start') + offset}"
    action = reader.spec.action
    if action is not None:
        value = clip.decode_label("action")[offset]
        text += f" {action.names[value]}" if action.kind == "discrete" else f" {np.round(value, 1)}"
    while draw.textlength(text) > 2 * _TILE:  # a robot's action may be longer than the picture
        text = text[:-2] + "…"
    draw.text((x + 2, y + _TILE), text, fill="black")


def inspect(path: str | pathlib.Path, sheet: str | None, seed: int) -> None:
    """Prints the summary and writes the contact sheet; raises DataError if it cannot."""
    info = open_dataset(path)
    print(summary(info))
    target = pathlib.Path(sheet) if sheet else info.path / "contact_sheet.png"
    try:
        contact_sheet(info, seed).save(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error}; give another --sheet") from error
    print(f"contact sheet: {target}")
