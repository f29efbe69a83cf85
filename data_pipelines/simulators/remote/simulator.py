"""A simulator in another Python environment, as everybody else sees it: one more `Simulator`.

A subclass names its environment and its world; the world (`host.World`) runs in a process of that
environment, started with the first episode, and ends with the simulator. A process that dies loses
its episode: the error says how it ended, and the next episode has a new process.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.simulators.remote import start
from data_pipelines.simulators.remote.environments import Environment
from data_pipelines.simulators.remote.messages import (
    MISSING,
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
    ProtocolError,
    Reset,
    Seen,
    Start,
    Started,
)
from data_pipelines.simulators.simulator import Agent, EpisodeLost, Simulator, Step

_GRACE = 5.0  # seconds for a process to end by itself
_Answer = TypeVar("_Answer")


class RemoteSimulator(Simulator):
    """Plays in a process of another environment. Class attributes beside those of Simulator:

    environment: where it runs.
    world: "module:class" of its `host.World`; the module may import NumPy, what the environment
      holds, `remote.host` and modules of its own top-level package that import no more than that.
    settings: JSON-able, for the world.
    """

    environment: ClassVar[Environment]
    world: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **settings):
        super().__init__(**settings)
        self._process: HostProcess | None = None
        self._moment: Moment | None = None
        self._seen: Seen | None = None  # of this moment, once somebody has looked

    @classmethod
    def sources(cls) -> dict[str, Any]:
        """The versions in the environment, asked of a process of it, and the world's own source.

        Raises DataError where no process of it answers.
        """
        with contextlib.closing(HostProcess(cls.environment, cls.world)) as process:
            try:
                versions = process.ask(Start(0, [], dict(cls.settings)), Started).sources
            except EpisodeLost as error:
                name, remedy = cls.environment.name, cls.environment.remedy
                raise DataError(f"{name}: {error}; {remedy}") from error
        told = {"simulator": cls.world, "sha256": _hash(cls.world), "settings": dict(cls.settings)}
        return told | versions

    def begin(self, seed: int) -> None:
        if self._process is None:
            self._process = HostProcess(self.environment, self.world)
            self._ask(Start(self.size, list(self.views), dict(self.settings)), Started)
        self._moment, self._seen = self._ask(Reset(int(seed), self.task.name), Moment), None

    def step(self, action: Any) -> Step:
        self._moment, self._seen = self._ask(Act(np.asarray(action)), Moment), None
        return Step(self._moment.reward, self._moment.done)

    def frames(self) -> dict[str, np.ndarray]:
        if self._seen is None:
            self._seen = self._ask(Look(), Seen)
        return dict(self._seen.frames)

    def state(self) -> np.ndarray:
        return self._moment.state

    def success(self) -> bool | None:
        return self._moment.success

    def episode_facts(self) -> dict[str, Any]:
        return self._ask(Describe(), Facts).facts

    def expert(self) -> Agent:
        """The expert plays in the world's process; it knows of steps, not of pictures."""
        return lambda frames: self._ask(Consult(), Act).action

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _ask(self, message: Message, kind: type[_Answer]) -> _Answer:
        if self._process is None:
            raise EpisodeLost("its process is gone; begin another episode")
        try:
            return self._process.ask(message, kind)
        except EpisodeLost:
            self.close()
            raise


class HostProcess:
    """A process of an environment that hosts a world, and the pipes to it."""

    def __init__(self, environment: Environment, world: str):
        """Raises DataError where the environment is missing."""
        python = str(environment.python())
        here, theirs = os.pipe(), os.pipe()  # read, write: what we hear, what they hear
        packages = json.dumps({name: _folder(name) for name in {world.split(".")[0], _PACKAGE}})
        script, pipes = str(pathlib.Path(start.__file__)), [theirs[0], here[1]]
        self._environment = environment
        try:
            self._process = subprocess.Popen(
                [python, "-I", script, packages, world, *map(str, pipes)],
                pass_fds=pipes,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a simulator prints is no output of the command that plays it
                env=environment.process_variables(),
            )
        except OSError as error:
            raise DataError(
                f"{python} cannot be started ({error}); {environment.remedy}"
            ) from error
        finally:
            for pipe in pipes:
                os.close(pipe)
        self._channel = Channel(os.fdopen(here[0], "rb"), os.fdopen(theirs[1], "wb"))

    def ask(self, message: Message, kind: type[_Answer]) -> _Answer:
        """The answer to a message.

        Raises DataError for what the user can mend, EpisodeLost for what else the world raises, and
        for a process that is gone or answers something else.
        """
        try:
            self._channel.send(message)
            answer = self._channel.receive()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        except ProtocolError as error:
            raise EpisodeLost(f"its process speaks another protocol: {error}") from error
        if isinstance(answer, Failure):
            raise _error(answer, self._environment)
        if not isinstance(answer, kind):
            raise EpisodeLost(f"its process answered {type(message).__name__} with {answer!r:.200}")
        return answer

    def close(self) -> None:
        """Ends the process: it is asked to, and killed where it does not listen."""
        with contextlib.suppress(OSError):  # it is gone already
            self._channel.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _gone(self) -> Exception:
        """The error that says how it ended."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return EpisodeLost("its process closed its pipes and goes on; what it printed says why")
        if code == start.LACKS_NUMPY:
            lacking = f"the Python environment in {self._environment.folder} has no NumPy"
            return _error(Failure(lacking, MISSING), self._environment)
        if code < 0:
            killed = f"was killed by {signal.Signals(-code).name}; did memory run out?"
            return EpisodeLost(f"its process {killed}")
        return EpisodeLost(f"its process ended with exit code {code}; what it printed says why")


def _hash(world: str) -> str:
    """sha256 of the modules in the folder of a world."""
    module = pathlib.Path(importlib.util.find_spec(world.partition(":")[0]).origin)
    sources = [path.read_bytes() for path in sorted(module.parent.glob("*.py"))]
    return hashlib.sha256(b"".join(sources)).hexdigest()


def _error(failure: Failure, environment: Environment) -> Exception:
    if failure.reason == MISSING:
        return DataError(f"{environment.name}: {failure.text}; {environment.remedy}")
    if failure.reason == UNUSABLE:
        return DataError(f"{environment.name}: {failure.text}")
    return EpisodeLost(failure.text)


_PACKAGE = __name__.split(".")[0]


def _folder(package: str) -> str:
    """Where a top-level package lies."""
    return str(list(importlib.util.find_spec(package).submodule_search_locations)[0])
