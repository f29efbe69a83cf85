"""A study as a list of commands, one per change and one of no model: nothing runs here."""

from collections.abc import Sequence
from pathlib import Path

from experiments.pieces.piece import Piece
from experiments.skill_study.changes import Change
from experiments.skill_study.sources import Source

VISIBLE = "visible"  # The piece of no model.


def pieces(out: Path, source: Source, changes: Sequence[Change]) -> list[Piece]:
    """What can be seen without skills, and one piece per change, named as it is."""
    measured = [
        Piece(
            change.name,
            "experiments.skill_study.measure",
            (f"--out={out / change.name}", f"--change={change.name}", *source.flags()),
        )
        for change in changes
    ]
    flags = (f"--out={out / VISIBLE}", *source.flags())
    return [Piece(VISIBLE, "experiments.skill_study.visible", flags), *measured]
