"""A simulator of a few lines with scripted demonstrations: a lamp is pushed to the right."""

from data_pipelines.simulators.demonstrations import DemonstrationRecipe
from data_pipelines.simulators.simulator import Step, TaskSpec
from tests.data_pipelines.simulators.lamp import Lamp


class Pusher(Lamp):
    """A lamp that is pushed to the right"""

    cameras = ("left",)

    @classmethod
    def tasks(cls):
        push = Lamp.tasks()["push"]
        return {"push": TaskSpec("push", push.action, push.state_names, 10.0, 1, "push it", 20)}

    def begin(self, seed):
        super().begin(seed)
        self.place = 1.0 + seed % 3

    def step(self, action):
        super().step(action)
        return Step(float(self.success()), self.success())

    def success(self):
        return self.place >= 12


RECIPE = DemonstrationRecipe(Pusher, "A lamp that is pushed", {"push_expert": 3})
