"""What runs in the environment of a simulator: one world, which does what its owner asks.

Needs NumPy and nothing else; the world imports its own simulator.
"""

from __future__ import annotations

import abc
import importlib
import os
import traceback
from typing import Any, ClassVar

import numpy as np

from data_pipelines.simulators.remote.messages import (
    MISSING,
    RAISED,
    UNUSABLE,
    Act,
    Channel,
    Consult,
    Describe,
    Facts,
    Failure,
    Look,
    Message,
    Moment,
    Reset,
    Seen,
    Start,
    Started,
)


class Unusable(Exception):
    """What the user can mend; the text says how."""


class World(abc.ABC):
    """A simulator as its host sees it; methods mean what those of `simulator.Simulator` mean.

    Errors lose the episode; `Unusable` and an ImportError are told to the user.
    """

    packages: ClassVar[tuple[str, ...]] = ()  # whose versions decide what is played

    def __init__(self, size: int, cameras: list[str], settings: dict[str, Any]):
        """settings: those of the RemoteSimulator. Made with the first episode."""
        self.size, self.cameras, self.settings = size, cameras, settings

    @abc.abstractmethod
    def begin(self, seed: int, task: str) -> None:
        """Starts an episode; what is random in it is a function of (seed, task)."""

    @abc.abstractmethod
    def step(self, action: np.ndarray) -> tuple[float, bool]:
        """Acts once, within the bounds: (reward, done)."""

    @abc.abstractmethod
    def frames(self) -> dict[str, np.ndarray]:
        """Camera -> uint8 (size, size, 3), for all of `cameras`."""

    @abc.abstractmethod
    def state(self) -> np.ndarray:
        """float (S,)"""

    def success(self) -> bool | None:
        return None

    def expert_action(self) -> np.ndarray:
        """What the scripted expert would do now; the first call of an episode begins its play."""
        raise Unusable(f"{type(self).__name__} has no scripted expert; use random or sticky")

    def facts(self) -> dict[str, Any]:
        """JSON-able facts of the episode so far."""
        return {}

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Gives resources back."""


class Host:
    """Answers messages; makes the world when its first episode begins."""

    def __init__(self, world: str):
        self._named = world
        self._start: Start | None = None
        self._world: World | None = None

    def answer(self, message: Message) -> Message:
        """Never raises what the world does: Failure instead."""
        try:
            return self._answer(message)
        except ImportError as error:
            return Failure(str(error), MISSING)
        except Unusable as error:
            return Failure(str(error), UNUSABLE)
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:300]
            return Failure(f"{type(error).__name__}: {text} ({at.filename}:{at.lineno})", RAISED)

    def _answer(self, message: Message) -> Message:
        if isinstance(message, Start):
            self._start = message
            return Started(_versions(self._class()))
        if isinstance(message, Reset):
            self._begin(message)
            return self._moment(0.0, False)
        if isinstance(message, Act):
            return self._moment(*self._world.step(message.action))
        if isinstance(message, Look):
            return Seen(self._world.frames())
        if isinstance(message, Consult):
            return Act(np.asarray(self._world.expert_action()))
        if isinstance(message, Describe):
            return Facts(self._world.facts())
        raise ValueError(f"a host does not answer {type(message).__name__}")

    def _class(self) -> type[World]:
        module, _, name = self._named.partition(":")
        return getattr(importlib.import_module(module), name)

    def _begin(self, message: Reset) -> None:
        if self._world is None:
            start = self._start
            self._world = self._class()(start.size, start.cameras, start.settings)
        self._world.begin(message.seed, message.task)

    def _moment(self, reward: float, done: bool) -> Moment:
        world = self._world
        success = world.success()
        return Moment(
            reward=float(reward),
            done=bool(done),
            success=None if success is None else bool(success),
            state=np.asarray(world.state(), np.float32),
        )

    def close(self) -> None:
        if self._world is not None:
            self._world.close()


def _versions(world: type[World]) -> dict[str, str]:
    import importlib.metadata

    return {f"{name}_version": importlib.metadata.version(name) for name in world.packages}


def serve(world: str, read: int, write: int) -> None:
    """Answers until the owner is gone."""
    channel, host = Channel(os.fdopen(read, "rb"), os.fdopen(write, "wb")), Host(world)
    try:
        while True:
            channel.send(host.answer(channel.receive()))
    except (EOFError, BrokenPipeError):
        pass
    finally:
        host.close()
