"""The recording of a tab: frames are taken while it plays, files are written in a thread meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from data_pipelines.errors import DataError
from experiments.play.recording import Recording
from experiments.play.records import WRITER, dataset_of, write_play
from experiments.play.session import LIVE, Moment, Session
from experiments.play.stage import Stage
from flexlam_jax.errors import UserError


class Recorder:
    """At most one recording at a time, which ends where the play begins anew or goes back: frames of a
    record follow one another.

    tell: is awaited with what was written, or why nothing was.
    """

    def __init__(self, stage: Stage, tell: Callable[..., Awaitable[None]]):
        self._stage, self._tell = stage, tell
        self._recording: Recording | None = None
        self._writing: set[asyncio.Future] = set()
        self._records: asyncio.Future | None = None  # a dataset that is being made

    @property
    def on(self) -> bool:
        return self._recording is not None

    def begin(self, session: Session) -> None:
        """Records from the present frame on, or from that of a start that is being computed.

        Raises:
          UserError: there is no folder for recordings.
        """
        self._check_out()
        if self._recording is None:
            self._recording = Recording(session.fps, self._stage.names, self._stage.discrete)
            if session.past and not session.beginning:
                self.add(session)

    def add(self, session: Session) -> None:
        """Takes the present moment, if a recording runs."""
        if self._recording is None:
            return
        moment: Moment = session.now
        self._recording.add(moment)
        if self._recording.full:
            self.end(session)

    def end(self, session: Session, told: bool = True) -> None:
        """Ends the recording, if one runs, and begins to write it. session: that it was of."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        stage = self._stage
        about = {
            "checkpoint": stage.about.get("checkpoint", ""),
            "start": "simulator" if session.start == LIVE else stage.labels[session.start],
            "seed": session.seed,
        }
        self._write(lambda: write_play(recording, stage.out, about), told)

    def make_records(self) -> None:
        """Begins to make a dataset of all plays.

        Raises:
          UserError: as `begin`, or one is being made already: they take a while, and a key that
            repeats would fill the disk.
        """
        self._check_out()
        if self._records is not None and not self._records.done():
            raise UserError("records are being made already; wait until they are written")
        self._records = self._write(lambda: dataset_of(self._stage.out), True)

    async def close(self, session: Session) -> None:
        """Ends the recording, and waits for all files."""
        self.end(session, told=False)
        if self._writing:
            await asyncio.wait(self._writing)

    def _check_out(self) -> None:
        if self._stage.out is None:
            raise UserError("recordings have no place to go; start the page with --out=DIR")

    def _write(self, write: Callable[[], list[str]], told: bool) -> asyncio.Future:
        task = asyncio.ensure_future(self._written(write, told))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _written(self, write: Callable[[], list[str]], told: bool) -> None:
        message: dict[str, Any]
        try:
            files = await asyncio.get_running_loop().run_in_executor(WRITER, write)
            message = {"type": "saved", "files": files}
        except (UserError, DataError) as error:
            message = {"type": "error", "text": str(error)}
        except Exception as error:
            logging.getLogger(__name__).exception("a recording was not written")
            message = {"type": "error", "text": f"not written: {type(error).__name__}: {error}"}
        if told:
            await self._tell(**message)
