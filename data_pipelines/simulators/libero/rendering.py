"""LIBERO's pictures, drawn by MuJoCo itself: only those that somebody looks at."""

from __future__ import annotations

from typing import Any

import numpy as np

# setting -> what it means, for the manifest. One setting per study: their pictures differ.
RENDERINGS = {
    "plain": "without multisampling, shadows and reflections",
    "default": "with multisampling, shadows and reflections, as LIBERO renders",
}
CAMERAS = {"agentview": "agentview", "eye_in_hand": "robot0_eye_in_hand"}  # ours -> the scene's


class Pictures:
    """Draws the visible geometry of one model; `rendering` is one of RENDERINGS."""

    def __init__(self, model: Any, size: int, rendering: str):
        import mujoco

        plain = rendering == "plain"
        if plain:
            model.vis.quality.offsamples = 0  # of the buffers that the renderer makes
        self._renderer = mujoco.Renderer(model, size, size)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[0] = 0  # collision shapes
        self._off = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)
        self._off = self._off if plain else ()

    def draw(self, data: Any, camera: str) -> np.ndarray:
        """The upright picture uint8 (size, size, 3) of one of CAMERAS."""
        self._renderer.update_scene(data, CAMERAS[camera], self._option)
        for flag in self._off:
            self._renderer.scene.flags[flag] = 0
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()
