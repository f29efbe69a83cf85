"""Chunk policies that act in several episodes at once: a flat one, or a high and a low level.

    actor = ChunkActor([Level(policy)], slots=4)
    actor.see(0, {"agentview": picture}, state, "open the drawer", first=True)
    action = actor.act([0], seeds)[0]

What an episode is given does not depend on those beside it: every decision is about as many rows as
there are slots, also where fewer are asked for, so that one program decides.

Dimension keys: n slots that are asked for, T steps of history, H W C image, P proprioception, S
skill, C steps of a chunk, A numbers of an action.
"""

import collections
import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np

from flexlam_jax.acting import temporal_ensemble
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy


@dataclasses.dataclass(frozen=True)
class Level:
    """A policy, and where it finds what it reads.

    views: its camera -> the name of the pictures that are seen, where these differ. numbers: which
    of a state's numbers it reads, in order.
    """

    policy: LoadedChunkPolicy
    views: Mapping[str, str] = dataclasses.field(default_factory=dict)
    numbers: tuple[int, ...] = ()


@dataclasses.dataclass
class _Seen:
    """An episode: its newest steps, the present one last, and the skills that were chosen then."""

    sentence: str
    steps: collections.deque[tuple[Mapping[str, np.ndarray], np.ndarray]]
    skills: collections.deque[np.ndarray]


class ChunkActor:
    """Acts by the last of `levels`; the one before, if there is one, tells it its skill.

    Attributes:
      seconds: that decisions took.     decisions: how many there were, one per slot and step.
    """

    def __init__(self, levels: Sequence[Level], *, slots: int, ensemble: bool = True):
        """ensemble: temporal ensembling as in BAKU; else the first step of every new chunk."""
        self._levels, self._slots = tuple(levels), slots
        policy = self._levels[-1].policy
        chunk = policy.chunk if ensemble else 1
        self._ensemble = temporal_ensemble.start(slots, chunk, policy.width)
        self._history = max(level.policy.history for level in self._levels)
        self._episodes: dict[int, _Seen] = {}
        self.seconds, self.decisions = 0.0, 0

    def warm_up(self) -> None:
        """Compiles what decides, for every length of history; before any episode."""
        size = self._levels[-1].policy.image_size
        views = {
            level.views.get(camera, camera)
            for level in self._levels
            for camera in level.policy.cameras
        }
        frames = {view: np.zeros((*size, 3), np.uint8) for view in views}
        state = np.zeros(max(1 + max(one.numbers, default=-1) for one in self._levels))
        for step in range(self._history):
            self.see(0, frames, state, "", first=step == 0)
            self.act([0], np.zeros(1, np.uint32))
        self.seconds, self.decisions = 0.0, 0

    def see(
        self,
        slot: int,
        frames: Mapping[str, np.ndarray],
        state: np.ndarray,
        sentence: str,
        *,
        first: bool,
    ) -> None:
        """Takes what a slot shows now, before it acts: pictures uint8 (H, W, C), a state (P,).

        first: of an episode; what was before is forgotten.
        """
        if first:
            self._episodes[slot] = _Seen(
                sentence,
                collections.deque(maxlen=self._history),
                collections.deque(maxlen=self._history),
            )
            here = np.arange(self._slots) == slot
            self._ensemble = temporal_ensemble.restart(self._ensemble, here)
        pictures = {camera: np.array(frame) for camera, frame in frames.items()}
        self._episodes[slot].steps.append((pictures, np.array(state, np.float32)))

    def act(self, slots: Sequence[int], seeds: np.ndarray) -> dict[int, np.ndarray]:
        """The actions float32 (A,) of slots that were seen since they acted last.

        seeds: uint32 (n,) of a head that draws.
        """
        begun = time.monotonic()
        for level in self._levels[:-1]:
            skills = self._decide(level, slots, seeds)[:, 0]
            for slot, skill in zip(slots, skills, strict=True):
                self._episodes[slot].skills.append(skill)
        chunks = self._decide(self._levels[-1], slots, seeds)
        B, C, _, A = self._ensemble.chunks.shape
        given = np.zeros((B, C, A), np.float32)
        given[list(slots)] = chunks[:, :C]
        self._ensemble, actions = temporal_ensemble.push(self._ensemble, given)
        self.seconds += time.monotonic() - begun
        self.decisions += len(slots)
        return {slot: actions[slot] for slot in slots}

    def _decide(self, level: Level, slots: Sequence[int], seeds: np.ndarray) -> np.ndarray:
        """Chunks float32 (n, C, A); the beginnings of episodes have shorter histories."""
        policy = level.policy
        chunks = np.zeros((len(slots), policy.chunk, policy.width), np.float32)
        lengths = [min(len(self._episodes[slot].steps), policy.history) for slot in slots]
        for T in sorted(set(lengths)):
            rows = [row for row, length in enumerate(lengths) if length == T]
            # All rows every time, also those that nobody asks for: one program, compiled once.
            filled = rows + rows[:1] * (self._slots - len(rows))
            seen = [self._episodes[slots[row]] for row in filled]
            decided = self._chunks(level, seen, np.asarray(seeds)[filled], T)
            chunks[rows] = np.asarray(decided)[: len(rows)]
        return chunks

    def _chunks(self, level: Level, seen: list[_Seen], seeds: np.ndarray, T: int) -> np.ndarray:
        policy = level.policy
        steps = [list(one.steps)[-T:] for one in seen]
        frames = {}
        for camera in policy.cameras:
            view = level.views.get(camera, camera)
            frames[camera] = np.stack([np.stack([step[0][view] for step in row]) for row in steps])
        proprio = skill = None
        if policy.proprio_width:
            states = np.stack([np.stack([step[1] for step in row]) for row in steps])
            proprio = states[..., list(level.numbers)]
        if policy.skill_width:
            skill = np.stack([np.stack(list(one.skills)[-T:]) for one in seen])
        sentences = [one.sentence for one in seen]
        return np.asarray(policy.decide(frames, proprio, sentences, skill, seeds=seeds))
