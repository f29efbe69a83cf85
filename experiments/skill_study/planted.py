"""Planted sequences: linear dynamics that change at known steps, on two levels.

A world is a few tasks, each with a few skills of its own. A skill is a point to which the sequence
is drawn, the sum of one that all skills of its task share and one of its own, and a rotation by
which it is drawn there: z_t = c + A (z_(t-1) - c) + noise. A sequence goes on through skills of one
task, then of another one; nothing tells how long each lasts. Sequences end at different lengths.
"""

import dataclasses

import numpy as np

from experiments.skill_study.sequences import SPLITS, Sequences, padded

SIZE, STEPS = 8, 64  # F, and the longest sequence
_TASKS, _SKILLS = 3, 4
_STEPS_OF_SKILL, _SKILLS_OF_TASK = (4, 13), (2, 5)  # drawn from [low, high)
_COUNTS = dict(zip(SPLITS, (384, 96, 96), strict=True))


@dataclasses.dataclass(frozen=True)
class Planted:
    """A kind of sequences.

    Attributes:
      name, about: in tables.
      noise: deviation of every number at every step; skills are about 1 apart in each.
      carry: the share of the distance to its point that a skill keeps at each step, turned.
    """

    name: str
    about: str
    noise: float
    carry: float = 0.3


PLANTED = (
    Planted("noise_0.3", "noise of 0.3", 0.3),
    Planted("noise_0.7", "noise of 0.7", 0.7),
    Planted("noise_1.0", "noise of 1.0", 1.0),
    Planted("held", "no noise: every step of a skill repeats the one before", 0.0, carry=0.0),
)


@dataclasses.dataclass(frozen=True)
class _World:
    """points (tasks, skills, F); turns (tasks, skills, F, F)."""

    points: np.ndarray
    turns: np.ndarray


def planted(kind: Planted, seed: int, counts: dict[str, int] = _COUNTS) -> dict[str, Sequences]:
    """So many sequences of each split, of one world; a seed has its own world and sequences."""
    world = _world(kind, np.random.default_rng([seed, 0]))
    found = {}
    for number, (split, count) in enumerate(counts.items(), 1):
        rng = np.random.default_rng([seed, number])
        rows = [_sequence(kind, world, rng) for _ in range(count)]
        latents, skills, tasks = (padded(list(arrays), STEPS) for arrays in zip(*rows, strict=True))
        lengths = np.array([len(row[0]) for row in rows])
        valid = np.arange(STEPS) < lengths[:, None]
        found[split] = Sequences(latents, valid, (skills, tasks))
    return found


def _world(kind: Planted, rng: np.random.Generator) -> _World:
    shared = _of_length_one(rng.normal(size=(_TASKS, 1, SIZE)))
    own = _of_length_one(rng.normal(size=(_TASKS, _SKILLS, SIZE)))
    turns = np.linalg.qr(rng.normal(size=(_TASKS, _SKILLS, SIZE, SIZE)))[0]
    return _World(shared + own, kind.carry * turns)


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Root mean square 1 in each vector."""
    return vectors / np.sqrt(np.square(vectors).mean(axis=-1, keepdims=True))


def _sequence(
    kind: Planted, world: _World, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float32 (T, F), and where skills and tasks begin, bool (T,) each."""
    length = int(rng.integers(STEPS * 3 // 4, STEPS + 1))
    z = np.zeros((length, SIZE))
    skills, tasks = np.zeros((2, length), bool)
    for first, last, task, skill, new_task in _segments(length, rng):
        skills[first], tasks[first] = True, new_task
        point, turn = world.points[task, skill], world.turns[task, skill]
        for t in range(first, last):
            away = z[t - 1] - point if t else 0 * point
            z[t] = point + turn @ away + kind.noise * rng.normal(size=SIZE)
    return z.astype(np.float32), skills, tasks


def _segments(length: int, rng: np.random.Generator):
    """(first step, step after the last, task, skill, whether the task is new) of every segment."""
    first, task, skill, left = 0, int(rng.integers(_TASKS)), 0, 0
    while first < length:
        new_task = left == 0
        if new_task:
            task = (task + int(rng.integers(1, _TASKS))) % _TASKS
            skill, left = int(rng.integers(_SKILLS)), int(rng.integers(*_SKILLS_OF_TASK))
        else:
            skill = (skill + int(rng.integers(1, _SKILLS))) % _SKILLS
        last = min(length, first + int(rng.integers(*_STEPS_OF_SKILL)))
        yield first, last, task, skill, new_task
        first, left = last, left - 1
