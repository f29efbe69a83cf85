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
from flexlam_jax.errors import UserError
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
    """An episode: its newest steps, the present one last, the skills that were chosen then, and the
    actions that are decided and not done."""

    sentence: str
    steps: collections.deque[tuple[Mapping[str, np.ndarray], np.ndarray]]
    skills: collections.deque[np.ndarray]
    coming: collections.deque[np.ndarray] = dataclasses.field(default_factory=collections.deque)


class ChunkActor:
    """Acts by the last of `levels`; the one before, if there is one, tells it its skill.

    Attributes:
      seconds: that decisions took.     decisions: how many there were, one per slot and chunk.
    """

    def __init__(
        self, levels: Sequence[Level], *, slots: int, ensemble: bool = True, execute: int = 1
    ):
        """ensemble: temporal ensembling as in BAKU; else the first `execute` steps of a chunk are done
        before the next one is decided.

        Raises:
          UserError: more of them than a chunk has; more than one beside ensembling, or with a policy
            that reads every step of a history.
        """
        self._levels, self._slots, self._execute = tuple(levels), slots, execute
        policy = self._levels[-1].policy
        self._history = max(level.policy.history for level in self._levels)
        self._check_executed(policy.chunk, ensemble)
        self._ensemble = (
            temporal_ensemble.start(slots, policy.chunk, policy.width) if ensemble else None
        )
        self._episodes: dict[int, _Seen] = {}
        self.seconds, self.decisions = 0.0, 0

    def _check_executed(self, chunk: int, ensemble: bool) -> None:
        if self._execute == 1:
            return
        if ensemble:
            why = "temporal ensembling decides at every step; switch it off (--noensemble)"
        elif self._history > 1:
            why = f"the policy reads each of the last {self._history} steps; do 1"
        elif self._execute > chunk:
            why = f"the policy's chunks have {chunk}; do that many or fewer"
        else:
            return
        raise UserError(f"{self._execute} actions of every chunk cannot be done: {why}")

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
            if self._ensemble:
                here = np.arange(self._slots) == slot
                self._ensemble = temporal_ensemble.restart(self._ensemble, here)
        pictures = {camera: np.array(frame) for camera, frame in frames.items()}
        self._episodes[slot].steps.append((pictures, np.array(state, np.float32)))

    def act(self, slots: Sequence[int], seeds: np.ndarray) -> dict[int, np.ndarray]:
        """The actions float32 (A,) of slots, which were seen since they acted last unless `unseen`.

        seeds: uint32 (n,) of a head that draws.
        """
        begun = time.monotonic()
        asked = [row for row, slot in enumerate(slots) if not self._episodes[slot].coming]
        if asked:
            self._decide_all([slots[row] for row in asked], np.asarray(seeds)[asked])
        self.seconds += time.monotonic() - begun
        return {slot: self._episodes[slot].coming.popleft() for slot in slots}

    @property
    def unseen(self) -> frozenset[int]:
        """Slots whose next action is decided, so that what they show is not read."""
        return frozenset(slot for slot, seen in self._episodes.items() if seen.coming)

    def _decide_all(self, slots: Sequence[int], seeds: np.ndarray) -> None:
        """New chunks of slots, level after level."""
        for level in self._levels[:-1]:
            skills = self._decide(level, slots, seeds)[:, 0]
            for slot, skill in zip(slots, skills, strict=True):
                self._episodes[slot].skills.append(skill)
        chunks = self._decide(self._levels[-1], slots, seeds)
        self.decisions += len(slots)
        if self._ensemble:
            given = np.zeros((self._slots, *chunks.shape[1:]), np.float32)
            given[list(slots)] = chunks
            self._ensemble, actions = temporal_ensemble.push(self._ensemble, given)
            chunks = actions[list(slots)][:, None]
        for slot, chunk in zip(slots, chunks, strict=True):
            self._episodes[slot].coming.extend(chunk[: self._execute])

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
