"""Stands in for the package envpool: as strict as its vectorised games, with levels of noise.

A folder envpool with a file that imports everything from here is the package for other processes.
"""

from __future__ import annotations

import sys
import types

import numpy as np

__version__ = "1.2.5"
LENGTH = 30  # steps of an episode at most; with an even level the coin is reached two sooner


class Game:
    """One game. Action 7 moves a white column to the right, all others leave it."""

    made: list[Game] = []

    def __init__(self, task, *, num_envs, num_threads, seed, channel_first):
        assert task in ("CoinrunEasy-v0", "CoinrunHard-v0")
        assert (num_envs, num_threads, channel_first) == (1, 1, False)
        assert type(seed) is int and 0 <= seed < 2**31
        self.task, self.seed, self.closed, self.step_number = task, seed, False, None
        self._levels = np.random.default_rng([seed, *task.encode()])
        Game.made.append(self)

    def reset(self):
        """Goes on to another level, as the package does."""
        self.level = int(self._levels.integers(2**31))
        self._wall = np.random.default_rng(self.level).integers(0, 200, (64, 64, 3), np.uint8)
        self.step_number, self.column, self.solved = 0, 0, False
        return self._seen(), self._info()

    def step(self, action):
        if self.step_number is None or self._over():
            raise RuntimeError("the package would begin another level here")
        assert action.dtype == np.int32 and action.shape == (1,) and 0 <= action[0] < 15
        self.step_number += 1
        self.column = (self.column + int(action[0] == 7)) % 64
        self.solved = self.level % 2 == 0 and self.step_number == LENGTH - 2
        cut = np.array([self.step_number == LENGTH])
        reward = np.array([10.0 if self.solved else 0.0], np.float32)
        return self._seen(), reward, np.array([self.solved]), cut, self._info()

    def _over(self):
        return self.solved or self.step_number == LENGTH

    def _seen(self):
        picture = self._wall.copy()
        picture[:, self.column] = 255
        picture[0, 0, 0] = self.step_number
        return picture[None]

    def _info(self):
        solved, level = np.array([int(self.solved)]), np.array([self.level], np.int32)
        return {"prev_level_complete": solved, "level_seed": level}

    def close(self):
        self.closed = True


def make_gymnasium(task, **settings):
    return Game(task, **settings)


PROCGEN = {"ProcgenEnvSpec": object}


def install(monkeypatch, procgen=PROCGEN):
    """Makes `import envpool` find this; without Qt `procgen` lacks what is looked for."""
    package, games = types.ModuleType("envpool"), types.ModuleType("envpool.procgen")
    vars(package).update(__version__=__version__, make_gymnasium=make_gymnasium, procgen=games)
    vars(games).update(procgen)
    monkeypatch.setitem(sys.modules, "envpool", package)
    monkeypatch.setitem(sys.modules, "envpool.procgen", games)
    monkeypatch.setattr(Game, "made", [])
    return Game
