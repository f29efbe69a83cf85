"""A simulator whose process dies at a chosen step of an episode."""

import os

from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.simulator import TaskSpec
from tests.data_pipelines.simulators.lamp import Lamp

FATAL_SEED, FATAL_STEP, LENGTH = 13, 3, 6


class MortalLamp(Lamp):
    """Ends after LENGTH steps, by the seed 13 with its process"""

    @classmethod
    def tasks(cls):
        return {
            "push": TaskSpec("push", ActionSpec("discrete", ("left", "right")), max_steps=LENGTH)
        }

    def begin(self, seed):
        super().begin(seed)
        self.fatal = seed == FATAL_SEED

    def step(self, action):
        if self.fatal and self.steps == FATAL_STEP:
            os._exit(3)
        return super().step(2 * action - 1)
