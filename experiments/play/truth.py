"""The true simulator beside the world, fed the action that the translator reads in every code.

    with TrueWorld(Doom, "my_way_home", size=64) as truth:
        frames = truth.begin(seed, still=0, count=4)       # 4 pictures to start a world from
        picture = truth.act(1)                             # None once the episode is over
        truth.rewind(7)                                    # to what was there after 7 actions

The simulator lives in a process of its own (`SimulatorPool`), so that it may crash. What is random in
an episode is a function of its seed, so going back is beginning again and playing the same actions.
Nothing here is awaited: it runs in a thread of the tab it belongs to.
"""

from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.simulators.pool import SimulatorPool
from data_pipelines.simulators.simulator import Simulator
from flexlam_jax.errors import UserError

PATIENCE = 60.0  # seconds for an engine to start or to step


class SimulatorLost(UserError):
    """The simulator failed, and the message says how; the next episode begins afresh."""


class TrueWorld:
    """One simulator and the episode that runs in it; started by its first episode.

    Attributes:
      name: of the task.      why: why no picture comes any more, "" while the episode runs.
      steps: actions since `begin`.
    """

    def __init__(self, simulator: type[Simulator], task: str, size: int):
        self._simulator, self.name, self._size = simulator, task, size
        self._pool: SimulatorPool | None = None
        self._seed, self._warm, self._actions = 0, [], []
        self.why = "it was not begun"

    @property
    def steps(self) -> int:
        return len(self._actions)

    def begin(self, seed: int, still: Any, count: int) -> np.ndarray:
        """The first `count` pictures of an episode, uint8 (count, S, S, 3), while action `still` is
        played; fewer where it ends among them.

        Raises:
          SimulatorLost, DataError: it does not start.
        """
        self._seed, self._warm, self._actions = seed, [still] * (count - 1), []
        return self._replayed([])

    def act(self, action: Any) -> np.ndarray | None:
        """The picture after an action, uint8 (S, S, 3); None after the end of the episode.

        Raises:
          SimulatorLost: it failed.
          DataError: an action that the task does not have.
        """
        self._actions.append(action)
        if self.why:
            return None
        return self._advanced({}, {0: action})

    def rewind(self, count: int) -> None:
        """Goes back to what was there after the first `count` actions. Raises as `begin`."""
        self._replayed(self._actions[:count])

    def close(self) -> None:
        pool, self._pool, self.why = self._pool, None, "it was closed"
        if pool is not None:
            pool.close(grace=1.0)

    def __enter__(self) -> "TrueWorld":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _replayed(self, actions: list[Any]) -> np.ndarray:
        if self._pool is None:
            self._pool = SimulatorPool(
                self._simulator, slots=1, workers=1, size=self._size, patience=PATIENCE
            )
        self.why = ""
        pictures = [self._advanced({0: (self.name, self._seed)}, {})]
        for action in self._warm + actions:
            if not self.why:
                pictures.append(self._advanced({}, {0: action}))
        self._actions = list(actions)
        return np.stack([picture for picture in pictures if picture is not None])

    def _advanced(self, starts: dict, actions: dict) -> np.ndarray | None:
        try:
            moment = self._pool.advance(starts, actions)[0]
        except DataError:
            self.close()
            raise
        if moment.lost:
            self.why = f"it was lost: {moment.lost}"
            raise SimulatorLost(
                f"the simulator was lost ({moment.lost}); the world goes on without it, and a new "
                "start begins it again"
            )
        if moment.done:
            self.why = "its episode is over"
            return None
        return self._pool.frames[0].copy()


def simulator_task(tasks: Any, dataset: str) -> str:
    """The task that a dataset "<task>_<behaviour>" was played in, "" for one that is not called so."""
    fitting = [task for task in tasks if dataset == task or dataset.startswith(f"{task}_")]
    return max(fitting, key=len, default="")
