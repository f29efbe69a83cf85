"""The folder that recordings go to: plays with their films, and datasets made of them.

    OUT/plays/play_0001.npz, .gif, .mp4        a recording each
    OUT/records_0001/                          a dataset of all plays that were there then

Tabs share it: all that is written goes through WRITER, one after the other, in a thread of its own,
so that what waits to be written keeps no thread from a tab that plays.
"""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from experiments.play.recording import Recording

SETTINGS = "settings.json"
PLAYS = "plays"
_RECIPE = "experiments.play.plays"
_FILE = re.compile(r"play_(\d+)\.npz")
_FOLDER = re.compile(r"records_(\d+)")
WRITER = ThreadPoolExecutor(1, "recordings")


def write_play(recording: Recording, out: Path, about: Mapping[str, Any]) -> list[str]:
    """In WRITER: a recording under the next number; the names of its files, relative to `out`.

    Raises:
      UserError: it has no step, or cannot be written.
    """
    stem = f"play_{_next(out / PLAYS, _FILE):04d}"
    return [f"{PLAYS}/{name}" for name in recording.write(out / PLAYS, stem, about)]


def dataset_of(out: Path) -> list[str]:
    """In WRITER: a dataset folder of all plays; its name, relative to `out`.

    Raises:
      DataError: fewer than three plays, or they do not fit together.
    """
    # TensorFlow Datasets, which this imports, takes seconds; most pages make no dataset.
    from data_pipelines.conversion.build import prepare
    from data_pipelines.registry import recipe_options

    name = f"records_{_next(out, _FOLDER):04d}"
    prepare(_RECIPE, out / name, recipe_options(_RECIPE, f"--source={out / PLAYS}"))
    return [name]


def _next(folder: Path, named: re.Pattern) -> int:
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    found = [int(match[1]) for name in names if (match := named.fullmatch(name))]
    return max(found, default=0) + 1
