"""The page: videos with their skills, how long chunks are, and chunks of like skills side by side."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.format.phases import FIELDS, phase_numbers
from experiments.segment_video.chunks import Chunks, Episode, length_bins, nearest_chunks
from experiments.segment_video.frames import Frames
from flexlam_jax.reports.bars import Bars
from flexlam_jax.reports.film import Film, Lane, Span
from flexlam_jax.reports.page import Charts, Facts, Films, Pictures, Section, Text, page
from flexlam_jax.reports.results import Column, Picture, PictureGrid, Sample, Slider, Table
from flexlam_jax.reports.svg import COLORS

KINDS = COLORS  # groups of like skills that are told apart
_FRAMES = 320  # of a film at most; longer episodes are shown at fewer steps
_BESIDE = 4  # chunks of a skill side by side
_NAMES = "ABCDEF"


@dataclasses.dataclass(frozen=True)
class Cut:
    """Episodes of a split, cut by every stage of a model.

    Attributes:
      info, split: of the data.      episodes: all that were cut.
      stages: their chunks, the outer stage first.
    """

    info: DatasetInfo
    split: str
    episodes: Sequence[Episode]
    stages: Sequence[Chunks]

    @functools.cached_property
    def metadata(self) -> dict[tuple[str, int], dict[str, Any]]:
        """What the data know of their episodes, by dataset and number."""
        names = dict.fromkeys(one.dataset for one in self.episodes)
        listed = ((name, one) for name in names for one in self.info.episodes(name, self.split))
        return {(name, one["episode"]): one for name, one in listed}


def gallery(cut: Cut, shown: Sequence[int], about: Sequence[str], made: Mapping[str, str]) -> str:
    """The page as HTML; `shown` are places of the episodes that are shown whole.

    Raises:
      DataError: frames that cannot be read, or phases that are none.
    """
    frames = Frames(cut.info, cut.split)
    parts: list[Section] = [Text(line, "about") for line in about]
    parts += [
        summary(cut),
        Charts(
            "How long chunks are",
            [_lengths(chunks, stage) for stage, chunks in enumerate(cut.stages, 1)],
        ),
        Films(
            "Episodes",
            [_film(cut, place, frames) for place in shown],
            "Every lane says what each step belongs to. Letters and colours are groups of like "
            "skills of one stage, A the largest; those of different stages have nothing to do with "
            "each other. Below, the first frame of every chunk of the last stage.",
        ),
    ]
    parts += [
        Pictures(f"Like skills, stage {stage}", _beside(cut, chunks, frames))
        for stage, chunks in enumerate(cut.stages, 1)
    ]
    return page("Segmented videos", [*parts, Facts("How this was made", made)])


def summary(cut: Cut) -> Table:
    """How each stage cuts."""
    rows = [{"stage": number} | facts(chunks) for number, chunks in enumerate(cut.stages, 1)]
    columns = [
        Column("stage", "stage"),
        Column("chunks", "chunks"),
        Column("steps_per_chunk", "steps per chunk"),
        Column("median_length", "median length"),
        Column("one_step", "of one step"),
        Column("most_common", "of skill A"),
    ]
    caption = f"Of {len(cut.episodes)} episodes of the {cut.split} split."
    shown = [{key: _number(value) for key, value in row.items()} for row in rows]
    return Table("Chunks", shown, columns, index=("stage",), caption=caption)


def facts(chunks: Chunks) -> dict[str, float]:
    """Numbers of a stage."""
    return {
        "chunks": len(chunks.start),
        "steps_per_chunk": float(chunks.length.mean()),
        "median_length": float(np.median(chunks.length)),
        "one_step": float(np.mean(chunks.length == 1)),
        "most_common": float(np.mean(chunks.kind == 0)),
    }


def phases(cut: Cut, episode: Episode) -> dict[str, list[tuple[int, str]]]:
    """The phases that the data know of an episode, {field: [(first step, name), ...]}."""
    told = cut.metadata[episode.dataset, episode.number]
    where = f"{cut.info.path}: dataset {episode.dataset}, episode {episode.number}"
    found = {}
    for field in FIELDS:
        if told.get(field):
            numbers = phase_numbers(told, field, where=where)[: episode.steps]
            first = np.flatnonzero(np.diff(numbers, prepend=-1))
            found[field] = [(int(step), told[field][numbers[step]][1]) for step in first]
    return found


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _lengths(chunks: Chunks, stage: int) -> Bars:
    bars = length_bins(chunks.length)
    return Bars(f"Stage {stage}", bars, "steps of a chunk, up to", "share of chunks, %")


def _film(cut: Cut, place: int, frames: Frames) -> Film:
    episode = cut.episodes[place]
    every = -(-episode.steps // _FRAMES)
    steps = np.arange(0, episode.steps, every)
    lanes = [
        _lane(f"stage {number}", episode.starts[number - 1], episode.steps, _kinds(chunks, place))
        for number, chunks in enumerate(cut.stages, 1)
    ]
    stills = lanes[-1]
    for field, found in phases(cut, episode).items():
        names = list(dict.fromkeys(name for _, name in found))
        kinds = [(name, names.index(name)) for _, name in found]
        lanes.append(_lane(field, [step for step, _ in found], episode.steps, kinds))
    return Film(
        caption=f"{episode.dataset}, episode {episode.number}: {episode.steps} steps",
        frames=frames.read(episode.dataset, episode.number, steps),
        steps=steps.tolist(),
        length=episode.steps,
        lanes=lanes,
        stills=stills,
        fps=(cut.info.spec(episode.dataset).fps or 10.0) / every,
    )


def _kinds(chunks: Chunks, place: int) -> list[tuple[str, int]]:
    return [(_NAMES[kind], kind) for kind in chunks.kinds_of(place)]


def _lane(name: str, starts: Sequence[int], steps: int, kinds: Sequence[tuple[str, int]]) -> Lane:
    stops = [*starts[1:], steps]
    return Lane(
        name,
        [
            Span(int(start), int(stop), label, color)
            for start, stop, (label, color) in zip(starts, stops, kinds, strict=True)
        ],
    )


def _beside(cut: Cut, chunks: Chunks, frames: Frames) -> PictureGrid:
    samples = []
    for kind in np.unique(chunks.kind).tolist():
        of = chunks.kind == kind
        many = f"{of.sum()} chunks in {len(np.unique(chunks.episode[of]))} episodes"
        pictures = [
            _picture(cut, chunks, place, frames) for place in nearest_chunks(chunks, kind, _BESIDE)
        ]
        samples.append(Sample(f"Skill {_NAMES[kind]}:", pictures, [many]))
    return PictureGrid(
        samples,
        Slider("", "", [0], [""]),
        "First the chunk in the middle of a group, then those whose skills are nearest to its own by "
        "cosine, each of another episode. Up to four frames of each, from the first to the "
        "last, in reading order.",
    )


def _picture(cut: Cut, chunks: Chunks, place: int, frames: Frames) -> Picture:
    """Up to four frames of a chunk, two by two."""
    episode = cut.episodes[chunks.episode[place]]
    start, length = int(chunks.start[place]), int(chunks.length[place])
    times = np.unique(np.linspace(start, start + length - 1, 4).astype(int))
    read = frames.read(episode.dataset, episode.number, times)
    side = 1 if length == 1 else 2
    tiles = np.full((side * side, *read.shape[1:]), 128, np.uint8)
    tiles[: len(read)] = read
    rows = [np.concatenate(list(tiles[side * i : side * (i + 1)]), axis=1) for i in range(side)]
    told = f"episode {episode.number}, steps {Span(start, start + length, '', 0).steps}"
    return Picture(f"{episode.dataset}, {told}", [np.concatenate(rows)], [f"frames of {told}"])
