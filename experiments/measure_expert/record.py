"""What was played so far: a line per episode, so that a killed command goes on."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.simulators.attempts import Attempt
from experiments.rollout.record import check_settings
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.typed_json import parse_json

_AGAIN = "remove the folder to play all episodes again"


@dataclasses.dataclass(frozen=True)
class _Line:
    task: str
    seed: int
    solved: bool
    length: int
    lost: str
    replayed: bool | None
    cpu_seconds: float
    at: str = ""


class Attempts:
    """The episodes of one folder: attempts.jsonl, beside the settings that they depend on."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        """Raises UserError for a folder that was made with other settings, or a damaged one."""
        check_settings(folder / "settings.json", settings, "measurements")
        self._path = folder / "attempts.jsonl"
        self._known: dict[tuple[str, int], Attempt] = {}
        self._read()
        self._lost = {key for key, one in self._known.items() if one.lost}

    def missing(self, task: str, seeds: Sequence[int]) -> list[int]:
        """Seeds of a task that nobody played yet, or that an earlier call lost."""
        keys = [(task, seed) for seed in seeds]
        return [key[1] for key in keys if key not in self._known or key in self._lost]

    def of(self, task: str, seeds: Sequence[int]) -> list[Attempt]:
        """Attempts that were all made, in the order of the seeds."""
        return [self._known[task, seed] for seed in seeds]

    def add(self, task: str, attempts: Sequence[Attempt]) -> None:
        """Writes the lines of what was played. Raises UserError if they cannot be written."""
        lines = [json.dumps({"task": task, **one._asdict()}) + "\n" for one in attempts]
        with writing_to(self._path), open(self._path, "a") as file:
            file.write("".join(lines))
        self._known |= {(task, one.seed): one for one in attempts}

    def _read(self) -> None:
        if not self._path.exists():
            return
        text = self._path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # killed within a line
            write_atomically(self._path, whole)
        for number, row in enumerate(whole.splitlines(), 1):
            where = f"line {number} of {self._path}"
            values = dataclasses.asdict(parse_json(row, _Line, where=where, remedy=_AGAIN))
            task = values.pop("task")
            self._known[task, values["seed"]] = Attempt(**values)
