"""Stands in for the package deepmind_lab: as strict as its C module, with a world of noise.

A file deepmind_lab.py that imports everything from here is the package for other processes, too.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types

import numpy as np

LENGTH = 30  # frames of an episode, so that one of four frames per step ends in its midst


class Lab:
    """Reward i of an episode is the number of frames that step i held its action."""

    made: list[Lab] = []

    def __init__(self, level, observations, config=None, renderer="software"):
        assert type(level) is str and type(observations) is list and type(config) is dict
        assert all(type(text) is str for item in config.items() for text in item)
        self.level, self.observed, self.config, self.renderer = (
            level,
            observations,
            config,
            renderer,
        )
        self.actions, self.resets, self.frame, self.closed = [], [], LENGTH, False
        if not all(lab.closed for lab in Lab.made):
            raise RuntimeError("Failed to connect RL API: one engine per process")
        Lab.made.append(self)
        if "nowhere" in config.get("datasetPath", ""):
            raise RuntimeError("Failed to init environment")

    def reset(self, episode=-1, seed=None):
        if "continuous_recognition" in self.level and "datasetPath" not in self.config:
            raise RuntimeError('Failed to start environment - "Follow instructions to download"')
        assert type(seed) is int and np.iinfo(np.intc).min <= seed <= np.iinfo(np.intc).max
        self.resets.append((episode, seed))
        self.frame = 0
        self._noise = np.random.default_rng([seed, max(episode, 0), *self.level.encode()])
        self._draw()

    def is_running(self):
        return not self.closed and self.frame < LENGTH

    def _draw(self):
        size = (int(self.config["height"]), int(self.config["width"]), 3)
        self._picture = self._noise.integers(0, 256, size, np.uint8)

    def observations(self):
        if not self.is_running():
            raise RuntimeError("Environment in wrong status for call to observations()")
        shown = {"RGB_INTERLEAVED": self._picture, "INSTR": f"find object {self.frame // 12}"}
        return {name: shown[name] for name in self.observed}

    def step(self, action, num_steps=1):
        if not self.is_running():
            raise RuntimeError("Environment in wrong status to advance.")
        if type(action) is not np.ndarray or action.shape != (7,) or action.dtype != np.intc:
            raise ValueError("action must have shape (7) and dtype np.intc")
        self.actions.append(tuple(action.tolist()))
        before, self.frame = self.frame, min(LENGTH, self.frame + num_steps)
        self._draw()
        return float(self.frame - before)

    def close(self):
        self.closed = True


def install(monkeypatch, *names, **attributes):
    """Makes `import` find modules of these names, empty but for the attributes."""
    for name in names:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
