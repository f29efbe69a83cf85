"""What the page says to the server, parsed and checked: text of JSON -> one of MESSAGES.

    parse('{"type": "hold", "code": 3, "stamp": 812.4}')       # Hold(code=3, stamp=812.4)

Everything that a browser sends is a stranger's: sizes, types, ranges and names are checked here, once,
and what is left to check is whether a number fits the world that is played.
"""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

from flexlam_jax.errors import UserError

LARGEST = 4096  # bytes of a message; those of the page are below 100
FASTEST = 60.0  # frames per second that may be asked for
_INDEX = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_STAMP = Annotated[float, msgspec.Meta(ge=0, le=1e15)]


class Message(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """Of one kind; the kind's name stands in "type"."""


class Hold(Message, tag="hold"):
    """A key is pressed that plays a code. stamp: the page's clock, ms; it comes back with the first
    frame that was stepped by this key."""

    code: _INDEX
    stamp: _STAMP = 0.0


class Release(Message, tag="release"):
    """No key is pressed."""

    stamp: _STAMP = 0.0


class Keep(Message, tag="keep"):
    """How many slots count from now on."""

    value: _INDEX


class Pause(Message, tag="pause"):
    on: bool


class Once(Message, tag="step"):
    """One step, then a pause. code: by this code; none for the one that is held, or no action."""

    code: _INDEX | None = None


class Undo(Message, tag="undo"):
    """Back to an earlier frame, and a pause there."""

    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1


class Start(Message, tag="start"):
    """Begins anew. index: of the frames to start from, -1 for the simulator's own; none for those
    that the present play started from (reset). seed: none for the present one."""

    index: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None


class Rate(Message, tag="rate"):
    """Frames per second that are asked for."""

    fps: Annotated[float, msgspec.Meta(ge=0.5, le=FASTEST)]


class Sampling(Message, tag="sampling"):
    """Of a world that samples; none for its own."""

    steps: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None


class Record(Message, tag="record"):
    """Begins a recording, or ends and writes it."""

    on: bool


class Records(Message, tag="records"):
    """Makes a dataset of all recordings."""


class Shown(Message, tag="shown"):
    """The page has drawn this frame; without these the server waits."""

    frame: _INDEX


MESSAGES = (
    Hold | Release | Keep | Pause | Once | Undo | Start | Rate | Sampling | Record | Records | Shown
)
_DECODER = msgspec.json.Decoder(MESSAGES)


def parse(text: str) -> Message:
    """The message.

    Raises:
      UserError: longer than LARGEST bytes, no JSON, of no kind that is known, or values of another
        type or range; the text says which.
    """
    size = len(text.encode(errors="replace"))
    if size > LARGEST:
        raise UserError(f"a message of {size} bytes was not read; {LARGEST} are the most")
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise UserError(f"a message was not understood: {error}") from None


class Budget:
    """How many messages are read: `rate` a second, and `burst` at once. The clock is the caller's."""

    def __init__(self, rate: float = 150.0, burst: float = 300.0, now: float = 0.0):
        self._rate, self._burst, self._left, self._then = rate, burst, burst, now
        self.dropped = 0  # since the last that was read

    def takes(self, now: float) -> bool:
        """Whether a message at `now`, in seconds, is read."""
        self._left = min(self._burst, self._left + self._rate * (now - self._then))
        self._then = now
        # Once it is exhausted, half of it must be back: a flood is told of once, not by the message.
        if self._left < (self._burst / 2 if self.dropped else 1):
            self.dropped += 1
            return False
        self._left -= 1
        self.dropped = 0
        return True


def frame_header(**facts) -> bytes:
    """Before the pixels of a frame: the length of the JSON in four bytes, lowest first, and the JSON,
    filled with spaces to a multiple of four."""
    text = json.dumps(facts, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text
