"""A play of one tab as a state machine: no clock, no socket, no model. What happens is a function of
what was there and what arrives.

    session = Session(keep=4, fps=10.0)
    session = session.begun(state, frame)                  # a start was computed
    session = session.received(message, controls)          # the page said something
    step = session.step(controls)                          # what the model has to do, or None
    session = session.stepped(step, state, frame)          # and it did

A model step runs elsewhere while messages arrive. What it gives is dropped where the play has begun
anew or went back meanwhile: `generation` tells.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.play import messages
from experiments.play.controls import Code, Keyboard
from flexlam_jax.errors import UserError

Controls = Mapping[int, Keyboard]  # by budget
LIVE = -1  # the start that a simulator gives
MOST_MOMENTS = 500  # that undo can go back, where their states are small
MOST_STEPS = 100  # single steps that wait


class Moment(NamedTuple):
    """A frame that was shown, and the state of the world after it. number: 0 for a start.

    truth: the simulator's picture of the same moment, None without one.
    """

    number: int
    state: Any
    frame: np.ndarray
    code: Code | None = None
    truth: np.ndarray | None = None


class Step(NamedTuple):
    """One step that the model is asked for."""

    generation: int
    moment: Moment  # it goes on from
    number: int  # of the code
    code: Code
    keep: int
    seed: int
    steps: int | None
    temperature: float | None
    stamp: float
    taps: int
    single: bool  # one that was asked for, while the play is paused


@dataclasses.dataclass(frozen=True)
class Session:
    """keep, fps, paused, seed, start, steps, temperature: what the page has chosen.

    held: the code whose key is pressed, until the page says otherwise or its number means another.
    tapped: one that was pressed since the last step was begun.     taps: how many were, ever.
    once: single steps that are asked for.    stamp: the page's clock at the last key, 0 once told.
    beginning: a start is asked for and not computed yet.
    past: moments that undo can reach, the last is the present.      depth: how many at most.
    """

    keep: int
    fps: float
    start: int = 0
    seed: int = 0
    paused: bool = False
    steps: int | None = None
    temperature: float | None = None
    held: int | None = None
    tapped: int | None = None
    taps: int = 0
    once: int = 0
    stamp: float = 0.0
    beginning: bool = True
    generation: int = 0
    past: tuple[Moment, ...] = ()
    depth: int = MOST_MOMENTS

    @property
    def now(self) -> Moment:
        """The present moment, once there was a start."""
        return self.past[-1]

    def received(self, message: messages.Message, controls: Controls, starts: int) -> "Session":
        """After a message; `starts`: how many frames there are to start from.

        Raises:
          UserError: a code, a budget or a start that this world does not have.
        """
        change, board = dataclasses.replace, controls[self.keep]
        match message:
            case messages.Hold(code, stamp):
                _check(code, len(board.codes), "code")
                return change(self._tapped(code), held=code, stamp=stamp)
            case messages.Release(stamp):  # A tap that no step has played yet is still told of.
                return change(self, held=None, stamp=stamp if self.tapped is None else self.stamp)
            case messages.Once(code):
                if code is not None:
                    _check(code, len(board.codes), "code")
                asked = self if code is None else self._tapped(code)
                return change(asked, paused=True, once=min(self.once + 1, MOST_STEPS))
            case messages.Keep(value):
                if value not in controls:
                    raise UserError(f"k = {value}: this world has {', '.join(map(str, controls))}")
                return change(self, keep=value, held=None, tapped=None)
            case messages.Pause(on):
                return change(self, paused=on, once=0, tapped=None)
            case messages.Undo(count):
                return self._back(count)
            case messages.Start(index, seed):
                index = self.start if index is None else index
                if index != LIVE:
                    _check(index, starts, "start")
                seed = self.seed if seed is None else seed
                return self._anew(start=index, seed=seed)
            case messages.Rate(fps):
                return change(self, fps=fps)
            case messages.Sampling(steps, temperature):
                return change(self, steps=steps, temperature=temperature)
        return self

    def begun(self, generation: int, state: Any, frame: np.ndarray, **beside: Any) -> "Session":
        """A start was computed. Undone, and asked for anew meanwhile, it is another's."""
        if generation != self.generation:
            return self
        moment = Moment(0, state, frame, **beside)
        return dataclasses.replace(self, beginning=False, past=(moment,))

    def deep(self, depth: int) -> "Session":
        """With room for so many moments, which their states' size decides."""
        return dataclasses.replace(self, depth=depth)

    def failed(self) -> "Session":
        """A start or a step could not be computed: the play stands still until it is told to go on,
        and after a start that failed until another one: what was before has other settings."""
        past = () if self.beginning else self.past
        still = {"beginning": False, "paused": True, "once": 0, "tapped": None}
        return dataclasses.replace(self, past=past, **still)

    def step(self, controls: Controls) -> Step | None:
        """The step that is due: by the key that was pressed last, or none."""
        if self.beginning or not self.past or (self.paused and not self.once):
            return None
        board = controls[self.keep]
        asked = (self.tapped, self.held, board.still)
        number = next((n for n in asked if n is not None), None)
        if number is None:
            return None
        return Step(
            self.generation,
            self.now,
            number,
            board.codes[number],
            self.keep,
            step_seed(self.seed, self.now.number),
            self.steps,
            self.temperature,
            self.stamp,
            self.taps,
            self.paused,
        )

    def stepped(self, step: Step, state: Any, frame: np.ndarray, **beside: Any) -> "Session":
        """The step was computed. A key that was pressed meanwhile waits for the next one."""
        if step.generation != self.generation:
            return self
        moment = Moment(step.moment.number + 1, state, frame, step.code, **beside)
        return dataclasses.replace(
            self,
            past=(*self.past[-self.depth + 1 :], moment) if self.depth > 1 else (moment,),
            once=max(0, self.once - step.single),
            tapped=self.tapped if self.taps != step.taps else None,
            stamp=self.stamp if self.stamp != step.stamp else 0.0,
        )

    def _back(self, count: int) -> "Session":
        if len(self.past) < 2:
            raise UserError("there is no earlier frame to go back to")
        count = min(count, len(self.past) - 1)
        return dataclasses.replace(
            self,
            past=self.past[:-count],
            paused=True,
            once=0,
            tapped=None,
            generation=self.generation + 1,
        )

    def _tapped(self, code: int) -> "Session":
        return dataclasses.replace(self, tapped=code, taps=self.taps + 1)

    def _anew(self, **chosen: Any) -> "Session":
        generation = self.generation + 1
        return dataclasses.replace(
            self,
            **chosen,
            beginning=True,
            once=0,
            tapped=None,
            generation=generation,
        )


def step_seed(seed: int, number: int) -> int:
    """Of the step after frame `number`: gone back and played again, it is the same."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def depth_of(state_bytes: int, memory: int = 256 << 20) -> int:
    """How many moments fit into `memory` bytes of a tab, at least 2."""
    return int(np.clip(memory // max(1, state_bytes), 2, MOST_MOMENTS))


def _check(index: int, count: int, what: str) -> None:
    if index >= count:
        raise UserError(f"there is no {what} {index}; this world has {count}, counted from 0")
