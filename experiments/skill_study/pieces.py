"""A study as a list of commands, one per change: nothing runs here."""

from collections.abc import Sequence
from pathlib import Path

from experiments.pieces.piece import Piece
from experiments.skill_study.changes import Change
from experiments.skill_study.sources import Source


def pieces(out: Path, source: Source, changes: Sequence[Change]) -> list[Piece]:
    """One piece per change, named as it is."""
    return [
        Piece(
            change.name,
            "experiments.skill_study.measure",
            (f"--out={out / change.name}", f"--change={change.name}", *source.flags()),
        )
        for change in changes
    ]
