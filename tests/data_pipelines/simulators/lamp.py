"""Simulators of a few lines, for tests: a lamp that wanders, and faults on demand."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.recipe import recipe_of
from data_pipelines.simulators.simulator import Simulator, Step, TaskSpec

# Files of the environment variable's folder steer the workers, which are other processes.
FOLDER = "TEST_SIMULATOR_FOLDER"


def played(folder: pathlib.Path) -> list[str]:
    """One line per episode that was begun in any process."""
    path = folder / "played"
    return path.read_text().split() if path.exists() else []


class Lamp(Simulator):
    """A lamp on a wall of noise, pushed to and fro, seen by two cameras"""

    cameras = ("left", "right")

    @classmethod
    def tasks(cls):
        spec = TaskSpec(
            name="push",
            action=ActionSpec("continuous", ("force",), low=-1.0, high=1.0),
            state_names=("place",),
            fps=10.0,
            language="push the lamp",
            max_steps=40,
        )
        short = TaskSpec("short", ActionSpec("discrete", ("a", "b")), state_names=("place",))
        return {"push": spec, "short": short}

    def begin(self, seed):
        rng = np.random.default_rng(seed)
        self.noise = rng.integers(0, 200, (self.size, self.size, 3), dtype=np.uint8)
        self.place, self.steps = float(rng.uniform(4, self.size - 4)), 0
        self.length = int(rng.integers(2, 14)) if self.task.name == "short" else 1000
        if os.environ.get(FOLDER):
            with open(pathlib.Path(os.environ[FOLDER]) / "played", "a") as file:
                file.write(f"{seed}\n")

    def step(self, action):
        self.steps += 1
        force = float(np.clip(np.ravel(action)[0], -1, 1))
        self.place = float(np.clip(self.place + force, 0, self.size - 1))
        return Step(self.place / self.size, self.steps >= self.length)

    def frames(self):
        picture = self.noise.copy()
        picture[:, int(self.place)] = 255
        picture[self.steps // self.size, self.steps % self.size] = 255  # a clock
        if os.environ.get(FOLDER) and (pathlib.Path(os.environ[FOLDER]) / "dark").exists():
            picture[:] = 0 if self.steps > 3 else picture
        views = {"left": picture, "right": picture[:, ::-1].copy()}
        return {camera: views[camera] for camera in self.views}

    def state(self):
        return np.array([self.place], np.float32)

    def success(self):
        return self.place > self.size / 2

    def expert(self):
        return lambda frames: np.float32([2.0])  # more than the world does


RECIPE = recipe_of(Lamp, {"push_random": 300, "push_expert": 80, "short_random": 40})
