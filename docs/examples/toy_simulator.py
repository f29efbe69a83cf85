"""A paddle catches a ball: a whole simulator, and a dataset of it, in one module.

python -m data_pipelines.prepare docs.examples.toy_simulator --out=data/paddle
"""

import numpy as np

from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.recipe import recipe_of
from data_pipelines.simulators.simulator import Simulator, Step, TaskSpec

MOVES = {"stay": 0.0, "left": -0.05, "right": 0.05}


class Paddle(Simulator):
    """A paddle at the bottom catches a ball that bounces off the walls"""

    cameras = ("front",)

    @classmethod
    def tasks(cls):
        catch = TaskSpec(
            name="catch",
            action=ActionSpec("discrete", tuple(MOVES)),
            state_names=("paddle", "x", "y"),
            fps=20.0,
            language="catch the ball",
            max_steps=200,
            random_return=0.3,
            expert_return=1.0,
        )
        return {catch.name: catch}

    def begin(self, seed):
        rng = np.random.default_rng(seed)
        self.wall = rng.integers(0, 120, 3)
        self.paddle, self.x = rng.uniform(0.2, 0.8, 2)
        self.y, self.speed = 0.0, np.array([rng.uniform(-0.03, 0.03), 0.015])
        self.caught = False

    def step(self, action):
        self.paddle = np.clip(self.paddle + list(MOVES.values())[action], 0.1, 0.9)
        self.x, self.y = np.array([self.x, self.y]) + self.speed
        if not 0 < self.x < 1:
            self.speed[0] *= -1
        done = self.y >= 0.95
        self.caught = bool(done and abs(self.x - self.paddle) < 0.15)
        return Step(float(self.caught), done)

    def frames(self):
        picture = np.full((self.size, self.size, 3), self.wall, np.uint8)
        column, row, paddle = (int(v * self.size) for v in (self.x, self.y, self.paddle))
        side = max(1, self.size // 16)
        picture[max(0, row - side) : row + side, max(0, column - side) : column + side] = 255
        picture[-side:, paddle - 2 * side : paddle + 2 * side] = (255, 200, 0)
        return {"front": picture}

    def state(self):
        return np.array([self.paddle, self.x, self.y], np.float32)

    def success(self):
        return self.caught

    def expert(self):
        return lambda frames: int(
            np.argmin([abs(self.paddle + m - self.x) for m in MOVES.values()])
        )


RECIPE = recipe_of(Paddle, {"catch_sticky": 1500, "catch_expert": 500})
