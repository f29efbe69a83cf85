"""What was played so far: attempts.jsonl gets a line per episode, see episode_lines.py."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.simulators.attempts import Attempt
from experiments.episode_lines import add_lines, check_settings, read_lines


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
        check_settings(folder, settings, "measurements")
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
        add_lines(self._path, [{"task": task, **one._asdict()} for one in attempts])
        self._known |= {(task, one.seed): one for one in attempts}

    def _read(self) -> None:
        for line in read_lines(self._path, _Line):
            values = dataclasses.asdict(line)
            task = values.pop("task")
            self._known[task, line.seed] = Attempt(**values)
