"""What a tab computes: the world, and the simulator beside it. All of it blocks, so a thread runs it.

A tab asks for one thing at a time; the state of the world comes and goes with it, the simulator stays.
"""

from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from experiments.play.session import LIVE, Session, Step
from experiments.play.stage import Stage
from experiments.play.truth import SimulatorLost, TrueWorld


class Computed(NamedTuple):
    """state: of the world.   frame: uint8 (H, W, C), its newest.   truth: the simulator's, or None.
    lost: why the simulator shows no more, "" while it does, or where there is none."""

    state: Any
    frame: np.ndarray
    truth: np.ndarray | None
    lost: str = ""


class Engine:
    """Of one tab."""

    def __init__(self, stage: Stage):
        self._stage = stage
        self._truth: TrueWorld | None = None

    def start(self, asked: Session) -> Computed:
        """A play's first state. Raises as `World.start` and `TrueWorld.begin`."""
        world = self._stage.world
        if asked.start != LIVE:
            self.close()
            frames = self._stage.starts[asked.start]
            return Computed(world.start(frames[None]), frames[-1], None)
        if self._truth is None:
            self._truth = self._stage.truth()
        board = self._stage.controls[asked.keep]
        still = None if board.still is None else board.codes[board.still].action
        count = 1 if still is None else world.history
        frames = self._truth.begin(asked.seed, still, count)[-count:]
        return Computed(world.start(frames[None]), frames[-1], frames[-1])

    def step(self, step: Step) -> Computed:
        """The next state. Raises as `World.step`; that the simulator was lost is told, not raised."""
        frames, state = self._stage.world.step(
            step.moment.state,
            step.code.slots[None],
            step.keep,
            seed=step.seed,
            steps=step.steps,
            temperature=step.temperature,
        )
        return Computed(state, np.asarray(frames)[0], *self._beside(step))

    def close(self) -> None:
        """Ends the simulator's process."""
        truth, self._truth = self._truth, None
        if truth is not None:
            truth.close()

    def _beside(self, step: Step) -> tuple[np.ndarray | None, str]:
        """The simulator's picture after the same step, and why there is none any more."""
        if self._truth is None or step.moment.truth is None:
            return None, ""
        try:
            if self._truth.steps != step.moment.number:  # the play went back
                self._truth.rewind(step.moment.number)
            picture = self._truth.act(step.code.action)
        except SimulatorLost as error:
            return None, str(error)
        except DataError as error:
            return None, f"the simulator was lost: {error}"
        ended = f"the simulator shows no more: {self._truth.why}" if picture is None else ""
        return picture, ended
