"""A world in a process of its own, for tests: a lamp on a wall of noise, and faults on demand.

It needs NumPy alone, as worlds do; the interpreter of the tests plays the part of the foreign one.
"""

import os
import pathlib
import signal
import sys

import numpy as np

from data_pipelines.simulators.ogbench.tasks import TASKS
from data_pipelines.simulators.remote.host import Unusable, World

# Files of the environment variable's folder steer the process: "<fault>" has it once, and goes;
# "always <fault>" stays.
FOLDER = "TEST_REMOTE_FOLDER"


class Lamp(World):
    """The lamp is pushed to and fro; its task is solved when it is at the right edge.

    The expert pushes to the right; in a third of the episodes, and always in the task window,
    it gives up after 10 steps.
    """

    def begin(self, seed, task):
        rng = np.random.default_rng(seed)
        self.wall = rng.integers(0, 200, (self.size, self.size, 3), dtype=np.uint8)
        self.place, self.steps, self.fails = 0.0, 0, rng.random() < 0.33 or task == "window"
        self.stages, self.plays = TASKS[task].stages, False
        self._fault(f"of {task}")

    def step(self, action):
        assert action.dtype == np.float32 and action.shape == (5,)
        self.steps += 1
        self.place = float(np.clip(self.place + action[0], 0, 12))
        if self.steps == 3:
            self._fault("in step 3")
        given_up = self.plays and self.fails and self.steps == 10
        return float(self.success()), self.success() or given_up

    def _fault(self, when):
        folder = pathlib.Path(os.environ.get(FOLDER, "/absent"))
        for fault in ("raise", "die", "unusable", "import"):
            once, always = folder / f"{fault} {when}", folder / f"always {fault} {when}"
            if once.exists() or always.exists():
                once.unlink(missing_ok=True)
                getattr(self, f"{fault}_")()

    def raise_(self):
        raise RuntimeError("the lamp\nis broken")

    def die_(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def unusable_(self):
        raise Unusable("buy a bulb")

    def import_(self):
        import a_package_that_nobody_has  # noqa: F401

    def frames(self):
        picture = self.wall.copy()
        picture[:, int(self.place)] = 255
        picture[self.steps // self.size, self.steps % self.size] = 255  # a clock
        return {camera: picture for camera in self.cameras}

    def state(self):
        return np.array([self.place, self.steps, *[self.settings["noise"]] * 5])

    def success(self):
        return self.place >= 12

    def expert_action(self):
        self.plays = True
        return np.array([0.2 if self.fails else 1.0, 0, 0, 0, 0])

    def facts(self):
        halves = [[0, self.stages[0].text], [6, self.stages[1].text]]
        return {"stages": halves, "keyframes": halves} if self.plays else {}


class Spy(Lamp):
    """Tells what its process sees."""

    def facts(self):
        return {"path": sys.path, "colour": os.environ.get("LAMP_COLOUR")}
