"""One running ViZDoom game behind a small interface: reset, step, frame, state."""

from __future__ import annotations

import contextlib
import os
import tempfile
import types

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.simulators.doom.scenarios import get_scenario

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


class DoomPlayer:
    """A seeded game of one scenario at frame skip 4, seen as square RGB frames.

    Frames are 160x120 RGB, resized by area, so 4:3 pictures become square. The same seed and
    actions give the same frames and states, whatever was played before. `ground_truth` turns on
    objects() and walls(), which cost time.
    """

    def __init__(
        self,
        scenario: str,
        *,
        size: int = 64,
        resolution: str = "RES_160X120",
        ground_truth: bool = False,
    ):
        vizdoom = import_vizdoom()
        self.scenario = get_scenario(scenario)
        self.size = size
        self._presses = [
            [float(button in pressed) for button in self.scenario.buttons]
            for pressed in self.scenario.actions.values()
        ]
        self._scratch = tempfile.TemporaryDirectory(prefix="doom-")
        self._game = vizdoom.DoomGame()
        self._configure(vizdoom, resolution)
        self._game.set_objects_info_enabled(ground_truth)
        self._game.set_sectors_info_enabled(ground_truth)
        with _working_directory(self._scratch.name):  # the engine leaves files where it starts
            self._game.init()

    def _configure(self, vizdoom: types.ModuleType, resolution: str) -> None:
        game, scenario = self._game, self.scenario
        game.load_config(os.path.join(vizdoom.scenarios_path, scenario.config + ".cfg"))
        game.set_doom_config_path(os.path.join(self._scratch.name, "vizdoom.ini"))
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in scenario.buttons])
        game.set_available_game_variables(
            [getattr(vizdoom.GameVariable, name) for name in scenario.state_names]
        )
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, resolution))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_window_visible(False)
        game.set_render_hud(False)
        game.set_mode(vizdoom.Mode.PLAYER)

    def reset(self, seed: int) -> None:
        """Starts a new episode; `seed` (32 bits) decides everything random in it."""
        self._game.set_seed(int(seed) % 2**32)
        self._game.new_episode()
        self._state = self._game.get_state()  # every call converts the whole state, so call once

    def step(self, action: int) -> float:
        """Holds one action for FRAME_SKIP tics; returns the summed reward."""
        reward = self._game.make_action(self._presses[action], FRAME_SKIP)
        self._state = self._game.get_state()
        return float(reward)

    def finished(self) -> bool:
        """True once the episode is over; there is no frame or state to read then."""
        return self._state is None

    def frame(self) -> np.ndarray:
        """uint8 (size, size, 3)."""
        image = Image.fromarray(self._state.screen_buffer)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX))

    def state(self) -> np.ndarray:
        """float32 (S,), in the order of scenario.state_names."""
        return np.asarray(self._state.game_variables, np.float32)

    def objects(self) -> list[tuple[str, float, float]]:
        """(name, x, y) of every object in the map, the player included."""
        return [(o.name, o.position_x, o.position_y) for o in self._state.objects]

    def walls(self) -> np.ndarray:
        """float32 (W, 4): x1, y1, x2, y2 of the lines that block the player."""
        lines = [
            (line.x1, line.y1, line.x2, line.y2)
            for sector in self._state.sectors
            for line in sector.lines
            if line.is_blocking
        ]
        return np.array(lines, np.float32).reshape(-1, 4)

    def episode_return(self) -> float:
        """Sum of the rewards so far."""
        return float(self._game.get_total_reward())

    def close(self) -> None:
        self._game.close()
        self._scratch.cleanup()

    def __enter__(self) -> DoomPlayer:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


@contextlib.contextmanager
def _working_directory(path: str):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
