"""Transitions of a folder as one picture: o_t beside o_{t+1}, the split and action beneath."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.format.vectors import is_vector
from data_pipelines.loading.windows import ClipReader, Windows
from data_pipelines.tools.curves import curves

COLUMNS = 6  # transitions per row
PER_DATASET = 12
_TILE, _LINE, _MARGIN = 112, 16, 6
_WIDTH = 2 * _TILE  # of a transition
_LINES = 3  # of text below it: where it is from, and two for the action


class Drawn(NamedTuple):
    """One transition of a split: its number among the split's windows of two frames."""

    split: str
    window: int


def contact_sheet(info: DatasetInfo, seed: int) -> Image.Image:
    """Up to PER_DATASET transitions of every dataset; the same ones for the same seed.

    A dataset of vectors has no pictures, which a line says; curves of its columns are drawn.
    """
    tile = _TILE + _LINES * _LINE + _MARGIN
    chosen = {
        name: [] if is_vector(spec) else choose(info, name, seed)
        for name, spec in info.datasets.items()
    }
    rows = sum(-(-len(drawn) // COLUMNS) for drawn in chosen.values())
    width = COLUMNS * (_WIDTH + _MARGIN)
    plots = {
        name: curves(info, name, width) for name, spec in info.datasets.items() if is_vector(spec)
    }
    plotted = sum(plot.height for plot in plots.values())
    size = width, rows * tile + plotted + len(chosen) * _LINE
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(12)
    y = 0
    for name, drawn in chosen.items():
        draw.text((2, y), _title(draw, info.spec(name)), fill="black")
        y += _LINE
        if name in plots:
            sheet.paste(plots[name], (0, y))
            y += plots[name].height
        windows = {split: Windows(ClipReader(info, name, split), 1) for split, _ in drawn}
        for place, (split, window) in enumerate(drawn):
            row, column = divmod(place, COLUMNS)
            corner = column * (_WIDTH + _MARGIN), y + row * tile
            _draw_transition(sheet, draw, corner, windows[split], split, window)
        y += -(-len(drawn) // COLUMNS) * tile
    return sheet


def _title(draw: ImageDraw.ImageDraw, spec: DatasetSpec) -> str:
    if not is_vector(spec):
        return spec.name
    text = f"{spec.name}: no pictures, the observation is a vector: {', '.join(spec.state_names)}"
    while draw.textlength(text) > COLUMNS * _WIDTH:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def choose(info: DatasetInfo, name: str, seed: int) -> list[Drawn]:
    """Distinct transitions of a dataset, spread evenly over its splits and their episodes."""
    lengths = {
        split: _transitions(ClipReader(info, name, split))
        for split, counts in info.counts[name].items()
        if counts["records"]
    }
    if not lengths:
        raise DataError(f"{info.path}: dataset {name} holds no record; prepare the folder again")
    rng = np.random.default_rng(seed)
    shares = _shares({split: int(each.sum()) for split, each in lengths.items()}, PER_DATASET)
    return [
        Drawn(split, window)
        for split, count in shares.items()
        for window in spread(lengths[split], count, rng)
    ]


def _transitions(reader: ClipReader) -> np.ndarray:
    """How many each episode of a split has, in order."""
    starts = np.flatnonzero(reader.index[:, 1] == 0)
    return reader.index[starts, 3].astype(np.int64) - 1


def _shares(there: dict[str, int], count: int) -> dict[str, int]:
    """`count` in equal parts, none larger than what is there; the first get what is left over."""
    shares = dict.fromkeys(there, 0)
    while count and (open_ := [split for split in there if shares[split] < there[split]]):
        for split in open_[:count]:
            shares[split] += 1
        count -= min(count, len(open_))
    return shares


def spread(lengths: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """`count` distinct numbers below sum(lengths), ascending, spread evenly over the episodes.

    lengths (E,): numbers of each episode, which follow on one another. One number is drawn of each
    of `count` equal parts of the E episodes; where two parts draw the same, the next is taken.
    """
    first, total = np.cumsum(lengths) - lengths, int(lengths.sum())
    taken: set[int] = set()
    for part in range(count):
        place = (part + rng.random()) / count * len(lengths)
        episode = min(int(place), len(lengths) - 1)
        number = int(first[episode] + (place - episode) * lengths[episode])
        while number in taken or number >= total:
            number = (number + 1) % total
        taken.add(number)
    return sorted(taken)


def _draw_transition(sheet, draw, corner, windows: Windows, split: str, window: int) -> None:
    x, y = corner
    record, offset = windows.locate(window)
    reader = windows.reader
    clip = reader.clip(record)
    for i, frame in enumerate(clip.decode_frames(np.array([offset, offset + 1]))):
        sheet.paste(_tile(frame), (x + i * _TILE, y))
    episode, start = reader.index[record, :2].tolist()
    lines = [f"{split} episode {episode}, frame {start + offset}"]
    if reader.spec.action is not None:
        text = action_text(clip.decode_label("action")[offset], reader.spec.action)
        lines += _wrapped(draw, text, _LINES - 1)
    for i, line in enumerate(lines):
        draw.text((x + 2, y + _TILE + i * _LINE), line, fill="black")


def _tile(frame: np.ndarray) -> Image.Image:
    """A frame of any shape in a square of _TILE pixels, all of it, in its proportions."""
    picture = Image.fromarray(frame[..., :3] if frame.shape[-1] >= 3 else frame[..., 0])
    scale = _TILE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    tile = Image.new("RGB", (_TILE, _TILE), "lightgrey")
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    picture = picture.convert("RGB").resize((width, height), method)
    tile.paste(picture, ((_TILE - width) // 2, (_TILE - height) // 2))
    return tile


def action_text(action: np.ndarray, spec: ActionSpec) -> str:
    """The action's name, or its numbers with two digits that count each, however small they are."""
    if spec.kind == "discrete":
        return spec.names[int(action)]
    return " ".join(f"{value:.2g}" for value in action.tolist())


def _wrapped(draw: ImageDraw.ImageDraw, text: str, most: int) -> list[str]:
    """`text` in lines that fit below a transition, cut with an ellipsis after `most`."""
    lines, line = [], ""
    for word in "".join(c if c.isprintable() else "?" for c in text).split():
        joined = f"{line} {word}".strip()
        if line and draw.textlength(joined) > _WIDTH - 4:
            lines.append(line)
            joined = word
        line = joined
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    for i, line in enumerate(lines):
        while draw.textlength(line) > _WIDTH - 4:
            line = line.removesuffix("…").rstrip()[:-1] + "…"
        lines[i] = line
    return lines
