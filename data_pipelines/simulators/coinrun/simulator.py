"""CoinRun as a simulator: a level per episode, drawn from all that the game can make.

    python -m data_pipelines.prepare coinrun --out=data/coinrun

Facts that decide what is here, of envpool 1.2.5:

* A seed is given when a game is made, so each episode makes one; that takes 3 ms, as nothing is read
  again but the first time.
* `reset` would go on to another level; a game that is over shows its last picture until then.
* Seeds are C ints; the first level of a game is a function of its seed, one of 2^31.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.simulator import Simulator, Step, TaskSpec

SIZE = 64  # pixels of a side, as the game draws
FPS = 15.0
HORIZON = 1000  # steps, after which the game ends an episode
COIN = 10.0  # the only reward
# Procgen's combinations of buttons, in the order of their numbers.
ACTIONS = (
    "left_down",
    "left",
    "left_up",
    "down",
    "noop",
    "up",
    "right_down",
    "right",
    "right_up",
    "D",
    "A",
    "W",
    "S",
    "Q",
    "E",
)
WITHOUT_EFFECT = ACTIONS[9:]  # buttons of other games of the benchmark: as noop here
LEVELS = ("easy", "hard")


def import_envpool() -> types.ModuleType:
    """envpool with its Procgen; raises DataError with the remedy where either is missing."""
    try:
        import envpool
    except ImportError as error:
        raise DataError(
            f"the coinrun datasets need envpool, which cannot be imported ({error}); run `pip "
            "install 'flexlam_jax[coinrun]'` (or `pip install envpool==1.2.5`)"
        ) from error
    try:
        from envpool.procgen import ProcgenEnvSpec  # noqa: F401 (looks for Qt)
    except ImportError as error:
        raise DataError(
            f"envpool is there, but its CoinRun cannot be loaded ({error}); it draws with the system's "
            "Qt 5: run `apt-get install libqt5core5a libqt5gui5`, or your system's package of Qt 5 Gui"
        ) from error
    return envpool


def _task(level: str) -> TaskSpec:
    return TaskSpec(
        name=f"coinrun_{level}",
        action=ActionSpec("discrete", ACTIONS),
        fps=FPS,
        expert_return=COIN,
        details={
            "environment": _environment(level),
            "without_effect": list(WITHOUT_EFFECT),
            "horizon": HORIZON,
        },
    )


def _environment(level: str) -> str:
    """envpool's name, as CoinrunHard-v0."""
    return f"Coinrun{level.capitalize()}-v0"


class CoinRun(Simulator):
    """CoinRun: levels of a platform game without end, fifteen actions; played here

    An episode is solved by touching the coin, and over too when the agent is hit or after 1000
    steps.
    """

    cameras = ("player",)
    rendering = "64x64 RGB, smaller by area"
    min_distinct = 0.02  # an agent in a pit hardly moves

    def __init__(self, **settings):
        """Raises DataError for pictures larger than the game draws."""
        super().__init__(**settings)
        check_size(self.size)
        self._game: Any = None
        self._picture: np.ndarray | None = None  # uint8 (64, 64, 3)
        self._info: dict[str, np.ndarray] = {}
        self._runs = False

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return {task.name: task for task in map(_task, LEVELS)}

    @classmethod
    def sources(cls) -> dict[str, str]:
        return {"simulator": "envpool", "version": import_envpool().__version__}

    def begin(self, seed: int) -> None:
        envpool = import_envpool()
        self.close()
        self._game = envpool.make_gymnasium(
            self.task.details["environment"],
            num_envs=1,
            num_threads=1,
            seed=int(seed) % 2**31,
            channel_first=False,
        )
        self._keep(*self._game.reset())
        self._runs = True

    def _keep(self, pictures: np.ndarray, info: dict[str, np.ndarray]) -> None:
        self._picture, self._info = np.array(pictures[0]), info

    def step(self, action: int) -> Step:
        if not self._runs:
            raise self._nothing_runs()
        pictures, reward, ended, cut, info = self._game.step(np.array([action], np.int32))
        self._keep(pictures, info)
        self._runs = not (ended[0] or cut[0])
        return Step(float(reward[0]), not self._runs)

    def _nothing_runs(self) -> DataError:
        return DataError(
            "no episode of CoinRun runs: it was not begun, or its last step was done; call "
            "reset(seed, task)"
        )

    def frames(self) -> dict[str, np.ndarray]:
        if self._picture is None:
            raise self._nothing_runs()
        picture = self._picture
        if self.size != SIZE:
            small = Image.fromarray(picture).resize((self.size, self.size), Image.Resampling.BOX)
            picture = np.asarray(small)
        return dict.fromkeys(self.views, picture)

    def success(self) -> bool:
        """Whether the coin was reached."""
        return bool(self._info and self._info["prev_level_complete"][0])

    def episode_facts(self) -> dict[str, Any]:
        """level: the number that the game made the level of."""
        return {"level": int(self._info["level_seed"][0])}

    def close(self) -> None:
        if self._game is not None:
            self._game.close()
            self._game = self._picture = None
            self._info, self._runs = {}, False


def check_size(size: int) -> None:
    """Raises DataError for pictures larger than the game draws."""
    if size > SIZE:
        raise DataError(
            f"CoinRun is drawn at {SIZE} pixels, and larger pictures would hold no more; use "
            f"--size={SIZE} or less, not {size}"
        )
