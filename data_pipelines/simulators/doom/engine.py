"""ViZDoom as a simulator: one running game, seen as square RGB frames.

Which scenarios, with which actions and experts, a subclass says.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.doom.maps import MAPS
from data_pipelines.simulators.doom.scenarios import Scenario
from data_pipelines.simulators.simulator import Agent, Simulator, Step, TaskSpec

FRAME_SKIP = 4
TICS_PER_SECOND = 35
_SETTLING = 20  # pictures: the weapon swings by 16 units at most and loses one with each


class Thing(NamedTuple):
    """An object of the map: its class, position, and velocity in map units per tic.

    Velocities of monsters read 0, also while they walk.
    """

    name: str
    x: float
    y: float
    vx: float
    vy: float


def import_vizdoom() -> types.ModuleType:
    """The simulator; raises DataError with the remedy if it is not installed."""
    try:
        import vizdoom
    except ImportError as error:
        raise DataError(
            "the doom datasets need ViZDoom, which is not installed; "
            "run `pip install 'flexlam_jax[doom]'` (or `pip install vizdoom`)"
        ) from error
    return vizdoom


def task_of(name: str, scenario: Scenario) -> TaskSpec:
    """What the interface of simulators tells of a scenario."""
    return TaskSpec(
        name=name,
        action=ActionSpec("discrete", tuple(scenario.actions)),
        state_names=scenario.state_names,
        fps=TICS_PER_SECOND / FRAME_SKIP,
        frame_skip=FRAME_SKIP,
        max_steps=scenario.max_steps,
        random_return=scenario.random_return,
        expert_return=scenario.expert_return,
        details={
            "scenario": name,
            "buttons": list(scenario.buttons),
            "presses": {key: list(value) for key, value in scenario.actions.items()},
            **scenario.facts,
        },
    )


class DoomGame(Simulator):
    """One running game of ViZDoom.

    Frames are 160x120 RGB, resized by area, so 4:3 pictures become square. `ground_truth` turns on
    objects() and walls(), which cost time. There is no picture after the step that ends an episode,
    but in scenarios that keep the last one.

    scenarios: by name of the task. experts: the scripted player of each, made of a running game.
    """

    scenarios: ClassVar[Mapping[str, Scenario]]
    experts: ClassVar[Mapping[str, Callable[[DoomGame], Agent]]]
    cameras = ("player",)
    maps = tuple(MAPS)
    rendering = "160x120 RGB, resized by area"
    shows_end = False
    min_distinct = 0.1  # a player who pushes against a wall sees a picture that stands still

    def __init__(self, *, resolution: str = "RES_160X120", **settings):
        super().__init__(**settings)
        self._resolution = resolution
        self._open: str | None = None  # the scenario that runs
        self._game: Any = None
        self._state: Any = None  # what the game shows now; None when there is nothing to see
        self._runs = False  # whether an episode does

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return {name: task_of(name, scenario) for name, scenario in cls.scenarios.items()}

    @classmethod
    def sources(cls) -> dict[str, str]:
        return {"simulator": "vizdoom", "version": import_vizdoom().__version__}

    @property
    def scenario(self) -> Scenario:
        """Of the present task."""
        return self.scenarios[self.task.name]

    def begin(self, seed: int) -> None:
        if self._open != self.task.name:
            self._start()
        elif self.scenario.swings:
            self._settle()
        self._game.set_seed(int(seed) % 2**32)
        self._game.new_episode()
        self._state = self._game.get_state()  # every call converts the whole state, so call once
        self._runs, self.shows_end = True, False

    def _settle(self) -> None:
        """Lets the weapon come to rest in an episode that nobody sees.

        The engine swings it while the player walks. It comes to rest a little with every picture
        that is drawn, also in the next episode, whose first ones would depend on what was played
        before.
        """
        self._game.new_episode()
        for _ in range(_SETTLING):
            self._game.make_action([0.0] * len(self.scenario.buttons), 1)

    def _start(self) -> None:
        """Starts the game of the present task in place of the one that runs."""
        vizdoom = import_vizdoom()
        self.close()
        self._scratch = tempfile.TemporaryDirectory(prefix="doom-")
        self._game = vizdoom.DoomGame()
        self._configure(vizdoom)
        self._game.set_objects_info_enabled(self.ground_truth)
        self._game.set_sectors_info_enabled(self.ground_truth)
        with _working_directory(self._scratch.name):  # the engine leaves files where it starts
            self._game.init()
        self._open = self.task.name
        self._presses = [
            [float(button in pressed) for button in self.scenario.buttons]
            for pressed in self.scenario.actions.values()
        ]

    def _configure(self, vizdoom: types.ModuleType) -> None:
        game, scenario = self._game, self.scenario
        game.load_config(os.path.join(vizdoom.scenarios_path, scenario.config + ".cfg"))
        game.set_doom_config_path(os.path.join(self._scratch.name, "vizdoom.ini"))
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in scenario.buttons])
        game.set_available_game_variables(
            [getattr(vizdoom.GameVariable, name) for name in scenario.state_names]
        )
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, self._resolution))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        # Frames are the same with and without them; drawing them takes time.
        buffers = any(view in MAPS for view in self.views)
        game.set_labels_buffer_enabled(buffers)
        game.set_depth_buffer_enabled(buffers)
        game.set_window_visible(False)
        game.set_render_hud(False)
        game.set_mode(vizdoom.Mode.PLAYER)

    def step(self, action: int) -> Step:
        """Holds one action for FRAME_SKIP tics; the reward is their sum."""
        if not self._runs:
            raise self._nothing_runs()
        presses = self._presses[int(action)]
        if self.scenario.keeps_end:
            return self._step_by_tics(presses)
        reward = self._game.make_action(presses, FRAME_SKIP)
        self._state = self._game.get_state()
        self._runs = self._state is not None
        return Step(float(reward), not self._runs)

    def _step_by_tics(self, presses: list[float]) -> Step:
        """The same step; what the game showed last before its end stays to be seen.

        Nothing is kept of a step whose first tic ends the episode: it has no picture of its own.
        """
        reward, kept = 0.0, None
        for _ in range(FRAME_SKIP):
            reward += self._game.make_action(presses, 1)
            state = self._game.get_state()
            if state is None:
                self._runs, self.shows_end = False, kept is not None
                break
            kept = state
        self._state = kept
        return Step(float(reward), not self._runs)

    def _shown(self) -> Any:
        """What the game shows; raises DataError before the first episode and after each."""
        if self._state is None:
            raise self._nothing_runs()
        return self._state

    def _nothing_runs(self) -> DataError:
        return DataError(
            f"no episode of {type(self).__name__} runs: it was not begun, or its last step was "
            "done, after which there is neither picture nor state; call reset(seed, task)"
        )

    def frames(self) -> dict[str, np.ndarray]:
        state = self._shown()
        image = Image.fromarray(state.screen_buffer)
        picture = np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX))
        return {
            view: MAPS[view](state, self.size) if view in MAPS else picture for view in self.views
        }

    def state(self) -> np.ndarray:
        return np.asarray(self._shown().game_variables, np.float32)

    def expert(self) -> Agent:
        if not self.ground_truth:
            raise DataError(
                "the scripted experts of Doom read objects; use "
                f"{type(self).__name__}(ground_truth=True)"
            )
        return self.experts[self.task.name](self)

    def objects(self) -> list[Thing]:
        """Every object in the map, the player included."""
        return [
            Thing(o.name, o.position_x, o.position_y, o.velocity_x, o.velocity_y)
            for o in self._shown().objects
        ]

    def walls(self) -> np.ndarray:
        """float32 (W, 4): x1, y1, x2, y2 of the lines that block the player."""
        lines = [
            (line.x1, line.y1, line.x2, line.y2)
            for sector in self._shown().sectors
            for line in sector.lines
            if line.is_blocking
        ]
        return np.array(lines, np.float32).reshape(-1, 4)

    def close(self) -> None:
        if self._game is not None:
            self._game.close()
            self._scratch.cleanup()
            self._game = self._open = self._state = None
            self._runs = False


@contextlib.contextmanager
def _working_directory(path: str):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
