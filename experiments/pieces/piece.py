"""One command of a study."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Piece:
    """One command.

    Attributes:
      name: of the piece, and of its folder below that of all.
      module: that is run.                reads: names of the pieces that must be finished.
      gives: what kind of result, "" for what others read only.      cell: whose result it is.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    reads: tuple[str, ...] = ()
    gives: str = ""
    cell: Any = None

    @property
    def stage(self) -> str:
        """What kind of work it is, for the table of times."""
        return self.name.partition("/")[2].partition("/")[0] or self.name


def identities(found: Sequence[Piece], out: str) -> dict[str, str]:
    """Piece -> hash of its command and of all that went into what it reads; `out` is left out."""
    known: dict[str, str] = {}
    for piece in found:
        flags = [flag.replace(out, "OUT") for flag in piece.flags]
        text = json.dumps([piece.module, flags, [known[name] for name in piece.reads]])
        known[piece.name] = hashlib.sha256(text.encode()).hexdigest()
    return known
