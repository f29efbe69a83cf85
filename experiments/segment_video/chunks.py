"""Chunks of episodes: where they lie, their skills, and which of them are alike. Pure functions."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from flexlam_jax.models.hilam import Segmentation

_ROUNDS = 20


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode, cut.

    Attributes:
      dataset, number: which.      steps: its transitions.
      starts: of each stage int64 (C,), the first steps of its chunks.
      skills: of each stage float32 (C, W), the skill of each chunk.
    """

    dataset: str
    number: int
    steps: int
    starts: tuple[np.ndarray, ...]
    skills: tuple[np.ndarray, ...]

    def lengths(self, stage: int) -> np.ndarray:
        """Steps of each chunk of a stage, from 0."""
        return np.diff(self.starts[stage], append=self.steps)


def cut_episodes(
    dataset: str, numbers: np.ndarray, valid: np.ndarray, found: Segmentation
) -> list[Episode]:
    """The episodes of a segmentation of rows (B, T), of which `valid` bool (B, T) are steps."""
    episodes = []
    for row, number in enumerate(numbers.tolist()):
        steps = int(valid[row].sum())
        starts = tuple(np.flatnonzero(cut[row, :steps]) for cut in found.boundaries)
        skills = tuple(skill[row, at] for skill, at in zip(found.skills, starts, strict=True))
        episodes.append(Episode(dataset, number, steps, starts, skills))
    return episodes


def spread(episodes: Sequence[Episode], count: int) -> list[int]:
    """Places of `count` episodes, or all: as many of every dataset as can be, evenly over each."""
    places: dict[str, list[int]] = {}
    for place, one in enumerate(episodes):
        places.setdefault(one.dataset, []).append(place)
    shares = dict.fromkeys(places, 0)
    for _ in range(min(count, len(episodes))):
        open_ = [name for name in places if shares[name] < len(places[name])]
        shares[min(open_, key=lambda name: shares[name])] += 1
    return [
        places[name][int(at)]
        for name, share in shares.items()
        for at in (np.arange(share) + 0.5) * len(places[name]) / max(1, share)
    ]


@dataclasses.dataclass(frozen=True)
class Chunks:
    """All chunks of a stage.

    Attributes:
      episode: int64 (N,), place of the episode in the list that they are of.
      start, length: int64 (N,), steps.      direction: float32 (N, W), of the skill.
      kind: int64 (N,), which group of like skills; 0 is the largest.
      distance: float32 (N,), 1 - cosine to the middle of the group.
    """

    episode: np.ndarray
    start: np.ndarray
    length: np.ndarray
    direction: np.ndarray
    kind: np.ndarray
    distance: np.ndarray

    def kinds_of(self, episode: int) -> list[int]:
        """The kinds of the chunks of one episode, in order."""
        return self.kind[self.episode == episode].tolist()


def chunks_of(episodes: Sequence[Episode], stage: int, kinds: int) -> Chunks:
    """The chunks of a stage, from 0, in at most `kinds` groups of like skills."""
    skills = np.concatenate([one.skills[stage] for one in episodes])
    direction = directions(skills)
    kind, middle = like_skills(direction, kinds)
    return Chunks(
        episode=np.repeat(np.arange(len(episodes)), [len(one.starts[stage]) for one in episodes]),
        start=np.concatenate([one.starts[stage] for one in episodes]),
        length=np.concatenate([one.lengths(stage) for one in episodes]),
        direction=direction,
        kind=kind,
        distance=1 - np.sum(direction * middle[kind], axis=1),
    )


def directions(skills: np.ndarray) -> np.ndarray:
    """Unit vectors from the mean of all skills (N, W), which they have in common; 0 at the mean."""
    apart = skills - skills.mean(axis=0)
    norm = np.linalg.norm(apart, axis=1, keepdims=True)
    return np.where(norm > 1e-6, apart / np.maximum(norm, 1e-6), 0.0).astype(np.float32)


def like_skills(direction: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Spherical k-means from the vectors that are farthest from each other; nothing is drawn.

    Args:
      direction: float32 (N, W), unit vectors.
      count: the most groups.

    Returns:
      (group of each int64 (N,), the largest 0; unit vectors in the middle of each (G, W)).
    """
    middle = direction[:1]
    for _ in range(count - 1):
        nearest = (direction @ middle.T).max(axis=1)
        if nearest.min() > 1 - 1e-6:
            break
        middle = np.concatenate([middle, direction[[nearest.argmin()]]])
    for _ in range(_ROUNDS):
        kind = (direction @ middle.T).argmax(axis=1)
        sums = np.stack([direction[kind == k].sum(axis=0) for k in range(len(middle))])
        norm = np.linalg.norm(sums, axis=1, keepdims=True)
        middle = np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), middle)
    kind = (direction @ middle.T).argmax(axis=1)
    order = np.argsort(-np.bincount(kind, minlength=len(middle)), kind="stable")
    return np.argsort(order)[kind], middle[order]


def nearest_chunks(chunks: Chunks, kind: int, count: int) -> list[int]:
    """The chunk in the middle of a kind, and those nearest to it, each of another episode.

    At most `count` places; fewer where there are fewer episodes.
    """
    members = np.flatnonzero(chunks.kind == kind)
    first = members[chunks.distance[members].argmin()]
    order = np.argsort(-(chunks.direction @ chunks.direction[first]), kind="stable")
    found, seen = [int(first)], {int(chunks.episode[first])}
    for place in order.tolist():
        if len(found) == count:
            break
        if int(chunks.episode[place]) not in seen:
            found.append(place)
            seen.add(int(chunks.episode[place]))
    return found


def length_bins(lengths: np.ndarray) -> list[tuple[str, float]]:
    """Share of chunks in percent by length, of up to 1, 2, 4, 8, ... steps."""
    number = np.ceil(np.log2(lengths)).astype(int)
    shares = 100 * np.bincount(number) / len(lengths)
    return [(str(2**i), share) for i, share in enumerate(shares.tolist())]
