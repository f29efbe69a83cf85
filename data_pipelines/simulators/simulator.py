"""The interface of a simulator: what collecting, evaluating and playing need of one.

    simulator = Doom(size=64)
    simulator.reset(seed=0, task="my_way_home")
    done = False
    while not done:
        reward, done = simulator.step(agent(simulator.frames()))

A new simulator is one module with a subclass; `recipe.recipe_of` makes a dataset of it. What is
random in an episode is a function of (seed, task), whatever was played before.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec

Frames = Mapping[str, np.ndarray]  # camera -> uint8 (H, W, 3)
# Pictures of one instant -> an action as the task's ActionSpec says.
Agent = Callable[[Frames], Any]


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """One task of a simulator, told without starting it.

    fps: frames per second of the simulated world. frame_skip: simulator tics per step. language:
    the instruction, "" where there is none. max_steps: horizon of an evaluation; 0 where the
    simulator ends its episodes. random_return, expert_return: mean returns that score 0 and 1; None
    where nobody measured them. details: JSON-able facts for the manifest.
    """

    name: str
    action: ActionSpec
    state_names: tuple[str, ...] = ()
    fps: float = 0.0
    frame_skip: int = 1
    language: str = ""
    max_steps: int = 0
    random_return: float | None = None
    expert_return: float | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def normalised_score(self, episode_return: float) -> float | None:
        """(return - random) / (expert - random); None where these are unknown."""
        if self.random_return is None or self.expert_return is None:
            return None
        return (episode_return - self.random_return) / (self.expert_return - self.random_return)


class Step(NamedTuple):
    """What a step gave: its reward, and whether it ended the episode."""

    reward: float
    done: bool


class EpisodeLost(RuntimeError):
    """A simulator failed in an episode, and begins the next one afresh."""


class Simulator(abc.ABC):
    """A world to act in, seen by named cameras as square pictures of `size` pixels a side.

    Subclasses define `tasks`, `begin`, `step`, `frames`, and what else they know. Class attributes:

    cameras: names of all views; an instance shows those it was made with.
    maps: names of further views of one channel, which are drawn when they are asked for; see
      format/maps.py.
    rendering: how pictures come about, for the manifest.
    shows_end: whether frames() and state() can be read after the step that ends an episode. An
      instance may set it by then, where some ends are seen and others not.
    noisy_share: share of uniform actions in noisy play.
    min_distinct: share of an episode's frames that differ from all others while the renderer lives.
    suite: names of the tasks whose mean is the simulator's result; () = all.
    one_task_per_process: the renderer does not survive a change of tasks, or another one beside it.
    """

    cameras: ClassVar[tuple[str, ...]]
    maps: ClassVar[tuple[str, ...]] = ()
    rendering: ClassVar[str] = ""
    shows_end: bool = True
    noisy_share: ClassVar[float] = 0.3
    min_distinct: ClassVar[float] = 0.25
    suite: ClassVar[tuple[str, ...]] = ()
    one_task_per_process: ClassVar[bool] = False

    def __init__(
        self, *, size: int = 64, cameras: tuple[str, ...] = (), ground_truth: bool = False
    ):
        """cameras: those to render, maps among them; () = all cameras. ground_truth: a scripted
        expert will play."""
        known = type(self).cameras + type(self).maps
        unknown = [camera for camera in cameras if camera not in known]
        if unknown:
            raise DataError(
                f"{type(self).__name__} has no camera {', '.join(unknown)}; cameras: "
                f"{', '.join(known)}"
            )
        self.size, self.ground_truth = size, ground_truth
        self.views = tuple(cameras) or type(self).cameras
        self.task: TaskSpec | None = None  # of the present episode

    @classmethod
    @abc.abstractmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        """All tasks by name. Raises DataError where only an installed package knows them."""

    @classmethod
    def sources(cls) -> dict[str, Any]:
        """JSON-able facts about what is played: the simulator and its version, here its source.

        A killed collection goes on only while they stay. Raises DataError with the remedy if it is
        not installed.
        """
        source = inspect.getsource(sys.modules[cls.__module__])
        return {
            "simulator": f"{cls.__module__}.{cls.__qualname__}",
            "sha256": hashlib.sha256(source.encode()).hexdigest(),
        }

    def reset(self, seed: int, task: str) -> None:
        """Starts an episode; `seed` (32 bits) decides everything random in it.

        Raises DataError for a task that does not exist.
        """
        self.task = find_task(type(self), task)
        self.begin(seed)

    @abc.abstractmethod
    def begin(self, seed: int) -> None:
        """Starts an episode of `self.task`; called by reset."""

    @abc.abstractmethod
    def step(self, action: Any) -> Step:
        """Acts once. A float outside of the task's bounds is clipped by the simulator."""

    @abc.abstractmethod
    def frames(self) -> dict[str, np.ndarray]:
        """The present picture of every camera in `views`: uint8 (size, size, 3), of maps (size, size,
        1)."""

    def state(self) -> np.ndarray:
        """float32 (S,), in the order of the task's state_names."""
        return np.zeros(0, np.float32)

    def simulator_state(self) -> np.ndarray:
        """What tells whether two episodes went the same way: here `state`, else all that moves."""
        return self.state()

    def success(self) -> bool | None:
        """Whether the task is solved in this episode; None where tasks have no such notion."""
        return None

    def episode_facts(self) -> dict[str, Any]:
        """JSON-able facts of the episode so far, for the metadata of a recording."""
        return {}

    def language(self) -> str:
        """The instruction of this episode, "" where there is none."""
        return self.task.language

    def normalised_score(self, episode_return: float) -> float | None:
        """The return on the scale of the task's random (0) and expert (1) play, None if unknown."""
        return self.task.normalised_score(episode_return)

    def expert(self) -> Agent:
        """A scripted expert of the episode that reset began; may read more than pictures.

        Raises DataError where the task has none.
        """
        raise DataError(
            f"{self.task.name}: {type(self).__name__} has no scripted expert; use random or sticky"
        )

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Ends the simulator and gives its resources back."""

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def find_task(simulator: type[Simulator], name: str) -> TaskSpec:
    """The task called `name`; raises DataError listing those that exist."""
    tasks = simulator.tasks()
    if name not in tasks:
        raise DataError(
            f"{simulator.__name__} has no task {name!r}; tasks: {', '.join(sorted(tasks))}"
        )
    return tasks[name]
