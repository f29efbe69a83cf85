"""What MuJoCo's renderer knows of each pixel of OGBench's scene: the arm, and depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipelines.format.maps import AGENT_MASK, DEPTH

MAPS = (DEPTH, AGENT_MASK)
_ARM = "ur5e/"  # the body that all of the arm and the gripper hang on
_PER_METRE = 100  # depth is in centimetres, 255 from 2.55 m on


def draw_map(env: Any, name: str, camera: str) -> np.ndarray:
    """uint8 (size, size, 1), one of MAPS of what `camera` shows now; frames stay as they are."""
    renderer = env._renderer
    modes = {
        DEPTH: (renderer.enable_depth_rendering, renderer.disable_depth_rendering),
        AGENT_MASK: (
            renderer.enable_segmentation_rendering,
            renderer.disable_segmentation_rendering,
        ),
    }
    begin, end = modes[name]
    begin()
    try:
        renderer.update_scene(env.data, camera=camera)
        seen = renderer.render()
    finally:
        end()
    if name == DEPTH:
        return np.clip(np.rint(seen * _PER_METRE), 0, 255).astype(np.uint8)[..., None]
    return agent_mask(env.model, seen[..., 0])


def agent_mask(model: Any, geoms: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 1): 255 where one of the arm's geoms shows; geoms int (H, W), -1 for none."""
    arm = model.body(_ARM).id
    own = model.body_rootid[model.geom_bodyid] == arm
    return np.where((geoms >= 0) & own[geoms], 255, 0).astype(np.uint8)[..., None]
