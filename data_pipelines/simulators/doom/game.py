"""ViZDoom as a simulator: one running game, seen as square RGB frames."""

from __future__ import annotations

import contextlib
import os
import tempfile
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.doom.experts import EXPERTS
from data_pipelines.simulators.doom.scenarios import SCENARIOS, Scenario
from data_pipelines.simulators.simulator import Agent, Simulator, Step, TaskSpec

FRAME_SKIP = 4
TICS_PER_SECOND = 35


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


def _task(name: str, scenario: Scenario) -> TaskSpec:
    return TaskSpec(
        name=name,
        action=ActionSpec("discrete", tuple(scenario.actions)),
        state_names=scenario.state_names,
        fps=TICS_PER_SECOND / FRAME_SKIP,
        frame_skip=FRAME_SKIP,
        random_return=scenario.random_return,
        expert_return=scenario.expert_return,
        details={
            "scenario": name,
            "buttons": list(scenario.buttons),
            "presses": {key: list(value) for key, value in scenario.actions.items()},
        },
    )


TASKS = {name: _task(name, scenario) for name, scenario in SCENARIOS.items()}


class Doom(Simulator):
    """ViZDoom: first-person video with true actions and states; played here, nothing to download

    Frames are 160x120 RGB, resized by area, so 4:3 pictures become square. `ground_truth` turns on
    objects() and walls(), which cost time. There is no picture after the step that ends an episode.
    """

    cameras = ("player",)
    rendering = "160x120 RGB, resized by area"
    shows_end = False
    min_distinct = 0.1  # a player who pushes against a wall sees a picture that stands still

    def __init__(self, *, resolution: str = "RES_160X120", **settings):
        super().__init__(**settings)
        self._resolution = resolution
        self._open: str | None = None  # the scenario that runs
        self._game: Any = None
        self._state: Any = None  # what the game shows now; None when no episode runs

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return TASKS

    @classmethod
    def sources(cls) -> dict[str, str]:
        return {"simulator": "vizdoom", "version": import_vizdoom().__version__}

    @property
    def scenario(self) -> Scenario:
        """Of the present task."""
        return SCENARIOS[self.task.name]

    def begin(self, seed: int) -> None:
        if self._open != self.task.name:
            self._start()
        self._game.set_seed(int(seed) % 2**32)
        self._game.new_episode()
        self._state = self._game.get_state()  # every call converts the whole state, so call once

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
        game.set_window_visible(False)
        game.set_render_hud(False)
        game.set_mode(vizdoom.Mode.PLAYER)

    def step(self, action: int) -> Step:
        """Holds one action for FRAME_SKIP tics; the reward is their sum."""
        self._shown()
        reward = self._game.make_action(self._presses[int(action)], FRAME_SKIP)
        self._state = self._game.get_state()
        return Step(float(reward), self._state is None)

    def _shown(self) -> Any:
        """What the game shows; raises DataError before the first episode and after each."""
        if self._state is None:
            raise DataError(
                "no episode of Doom runs: it was not begun, or its last step was done, after which "
                "there is neither picture nor state; call reset(seed, task)"
            )
        return self._state

    def frames(self) -> dict[str, np.ndarray]:
        image = Image.fromarray(self._shown().screen_buffer)
        picture = image.resize((self.size, self.size), Image.Resampling.BOX)
        return dict.fromkeys(self.views, np.asarray(picture))

    def state(self) -> np.ndarray:
        return np.asarray(self._shown().game_variables, np.float32)

    def expert(self) -> Agent:
        if not self.ground_truth:
            raise DataError(
                "the scripted experts of Doom read objects; use Doom(ground_truth=True)"
            )
        return EXPERTS[self.task.name](self)

    def objects(self) -> list[tuple[str, float, float]]:
        """(name, x, y) of every object in the map, the player included."""
        return [(o.name, o.position_x, o.position_y) for o in self._shown().objects]

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


@contextlib.contextmanager
def _working_directory(path: str):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
