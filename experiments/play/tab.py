"""One open page: messages come in, one model step after the other goes out as a frame.

The event loop never waits for a model: starts, steps, the simulator and files run in threads, one at a
time for a tab. Messages that arrive meanwhile change the session; the newest key decides the next step.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax

from data_pipelines.errors import DataError
from experiments.play import messages
from experiments.play.engine import Computed, Engine
from experiments.play.messages import frame_header
from experiments.play.recorder import Recorder
from experiments.play.session import LIVE, Moment, Session, Step, depth_of
from experiments.play.stage import Stage
from flexlam_jax.errors import UserError

_AHEAD = 3  # frames that are under way to a page that has not drawn them
_KNOWN = (UserError, DataError)  # what else is raised is a bug, and the log gets its traceback


def seconds_until(due: float, now: float, fps: float, *, pressed: bool) -> float:
    """How long to wait before a frame is begun that is due at a time, in seconds.

    One that shows a key for the first time comes up to half a frame's time early. Those after it keep
    their times, so that the rate stays the one that was asked for.
    """
    return max(0.0, due - pressed * 0.5 / fps - now)


class Socket(Protocol):
    """What a tab needs of a WebSocket."""

    async def send_str(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...


class Tab:
    """The play of one socket. `run` plays until it is cancelled, `received` takes a message, `close`
    gives back what the tab holds."""

    def __init__(self, stage: Stage, socket: Socket):
        self._stage, self._socket = stage, socket
        self.session: Session = stage.session()
        self._budget = messages.Budget(now=time.monotonic())
        self._wake = asyncio.Event()
        self._engine = Engine(stage)
        self._recorder = Recorder(stage, self._recorded)
        self._sent = self._shown = 0
        self._busy: asyncio.Future | None = None  # a thread at work

    async def received(self, text: str) -> None:
        """Takes a message of the page; one that makes no sense is answered, and changes nothing."""
        flooded = self._budget.dropped
        if not self._budget.takes(time.monotonic()):
            if self._budget.dropped == 1:
                await self._error("too many messages at once; those until it is quiet are not read")
            return
        if flooded:  # Among what was not read may have been that frames were drawn.
            self._shown = self._sent
        try:
            await self._act_on(messages.parse(text))
        except UserError as error:
            await self._error(str(error))
        self._wake.set()

    async def run(self) -> None:
        """Plays: computes what is due, sends it, and waits for the next frame's time."""
        due = time.monotonic()
        while True:
            self._wake.clear()
            step = self.session.step(self._stage.controls)
            now, fps = time.monotonic(), self.session.fps
            wait = None if step is None else seconds_until(due, now, fps, pressed=step.stamp > 0)
            if self.session.beginning:
                await self._begin()
                due = time.monotonic() + 1 / self.session.fps
            elif step is None or wait or self._sent - self._shown >= _AHEAD:
                blocked = step is None or not wait
                await self._sleep(None if blocked else wait)
                due = max(due, time.monotonic()) if step is None else due
            else:
                await self._step(step)
                due = max(due + 1 / self.session.fps, time.monotonic())

    async def close(self) -> None:
        """Writes what is being recorded, ends the simulator, and lets go of all states."""
        if self._busy is not None:
            await asyncio.wait([self._busy])
            self._busy = None  # it holds a state
        await self._recorder.close(self.session)
        await asyncio.to_thread(self._engine.close)
        self.session = self._stage.session()

    async def _act_on(self, message: messages.Message) -> None:
        match message:
            case messages.Shown(frame):
                self._shown = max(self._shown, min(frame, self._sent))
                return
            case messages.Record(on):
                (self._recorder.begin if on else self._recorder.end)(self.session)
                await self._tell()
                return
            case messages.Records():
                self._recorder.make_records()
                return
            case messages.Start(index, _) if index == LIVE and self._stage.truth is None:
                raise UserError(f"there is no simulator to start from: {self._stage.why}")
        before = self.session
        self.session = before.received(message, self._stage.controls, len(self._stage.starts))
        if self.session.generation != before.generation:
            self._recorder.end(before)
            if not self.session.beginning:
                await self._send(self.session.now)
        if not isinstance(message, messages.Hold | messages.Release):
            await self._tell()

    async def _begin(self) -> None:
        asked = self.session
        try:
            made = await self._in_thread(self._engine.start, asked)
        except _KNOWN as error:
            await self._failed(asked.generation, str(error))
            return
        size = sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(made.state))
        self.session = self.session.begun(
            asked.generation, made.state, made.frame, truth=made.truth
        )
        if self.session.generation == asked.generation:
            depth = depth_of(size, self._stage.memory)
            self.session = self.session.deep(depth)
            self._recorder.add(self.session)
            await self._send(self.session.now)
            await self._tell()

    async def _step(self, step: Step) -> None:
        begun = time.perf_counter()
        try:
            made = await self._in_thread(self._engine.step, step)
        except _KNOWN as error:
            await self._failed(step.generation, str(error))
            return
        seconds = time.perf_counter() - begun
        if made.lost:
            await self._error(made.lost)
        if step.generation != self.session.generation:
            return
        self.session = self.session.stepped(step, made.state, made.frame, truth=made.truth)
        self._recorder.add(self.session)
        await self._send(self.session.now, stamp=step.stamp, seconds=seconds, number=step.number)
        if self.session.paused:  # Nothing else may tell the page that there is more to undo.
            await self._tell()

    async def _in_thread(self, function: Callable[..., Computed], *arguments: Any) -> Computed:
        """Runs to its end whatever becomes of the tab: `close` waits for it."""
        self._busy = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        try:
            return await asyncio.shield(self._busy)
        except _KNOWN:
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("a step of a world failed")
            raise UserError(f"it failed: {type(error).__name__}: {error}") from error

    async def _failed(self, generation: int, why: str) -> None:
        if generation == self.session.generation:
            self.session = self.session.failed()
        await self._error(why)
        await self._tell()

    async def _sleep(self, seconds: float | None) -> None:
        """Until a message arrives, or for so long."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            pass

    async def _recorded(self, **message: Any) -> None:
        with contextlib.suppress(ConnectionError):  # the page may be gone
            await self._say(**message)
            await self._tell()

    async def _send(
        self, moment: Moment, stamp: float = 0.0, seconds: float = 0.0, number: int = -1
    ):
        self._sent += 1
        header = frame_header(
            frame=self._sent,
            step=moment.number,
            shape=moment.frame.shape,
            truth=None if moment.truth is None else moment.truth.shape,
            code=number,
            stamp=stamp,
            milliseconds=round(1e3 * seconds, 1),
        )
        pixels = [moment.frame] if moment.truth is None else [moment.frame, moment.truth]
        await self._socket.send_bytes(header + b"".join(one.tobytes() for one in pixels))

    async def _tell(self) -> None:
        """Where the play stands, after what the page cannot know by itself."""
        session = self.session
        await self._say(
            type="session",
            keep=session.keep,
            fps=session.fps,
            paused=session.paused,
            start=session.start,
            seed=session.seed,
            beginning=session.beginning,
            recording=self._recorder.on,
            undo=max(0, len(session.past) - 1),
            steps=session.steps,
            temperature=session.temperature,
        )

    async def _error(self, text: str) -> None:
        await self._say(type="error", text=text)

    async def _say(self, **values: Any) -> None:
        await self._socket.send_str(json.dumps(values))
