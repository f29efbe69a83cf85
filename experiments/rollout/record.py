"""What was played so far: one line per episode, so that a killed command goes on.

settings.json says by whom and how; a folder of other settings is refused. episodes.jsonl gets a
line as an episode ends. Lost episodes have lines too, and are played once more by the next call.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule
from flexlam_jax.evaluation.rollouts import Episode, Outcome
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.typed_json import parse_json, read_json

_AGAIN = "remove the folder to play all episodes again"
TEST, VALIDATION = "test", "validation"


@dataclasses.dataclass(frozen=True)
class _Line:
    split: str
    task: str
    seed: int
    rule: str
    episode_return: float
    length: int
    lost: str = ""
    success: bool | None = None  # written where somebody asked


class Record:
    """The episodes of one folder; see the module."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], noun: str = "rollouts"):
        """Raises UserError for a folder that was made with other settings, or a damaged one."""
        check_settings(folder / "settings.json", settings, noun)
        self._path = folder / "episodes.jsonl"
        self._outcomes: dict[tuple[str, Episode, str], Outcome] = {}
        self._read()
        self._old = {key for key, outcome in self._outcomes.items() if outcome.lost}

    def missing(
        self, split: str, episodes: Sequence[Episode], rules: Mapping[str, Rule]
    ) -> list[Episode]:
        """Those that nobody played yet, or that an earlier call lost."""
        keys = {episode: _key(split, episode, rules) for episode in episodes}
        return [one for one, key in keys.items() if key not in self._outcomes or key in self._old]

    def outcomes(
        self, split: str, episodes: Sequence[Episode], rules: Mapping[str, Rule]
    ) -> list[Outcome]:
        """Of episodes that were all played, in their order."""
        return [self._outcomes[_key(split, episode, rules)] for episode in episodes]

    def add(self, split: str, outcome: Outcome, rules: Mapping[str, Rule]) -> None:
        """Writes the line of an episode that ended. Raises UserError if it cannot be written."""
        key = _key(split, outcome.episode, rules)
        self._outcomes[key] = outcome
        self._old.discard(key)
        line = _Line(
            split,
            outcome.episode.task,
            outcome.episode.seed,
            key[2],
            outcome.episode_return,
            outcome.length,
            outcome.lost,
            outcome.success,
        )
        values = {key: v for key, v in dataclasses.asdict(line).items() if v is not None}
        with writing_to(self._path), open(self._path, "a") as file:
            file.write(json.dumps(values) + "\n")

    def _read(self) -> None:
        if not self._path.exists():
            return
        text = self._path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # killed within a line
            write_atomically(self._path, whole)
        for number, row in enumerate(whole.splitlines(), 1):
            where = f"line {number} of {self._path}"
            line = parse_json(row, _Line, where=where, remedy=_AGAIN)
            episode = Episode(line.task, line.seed)
            outcome = Outcome(episode, line.episode_return, line.length, line.lost, line.success)
            self._outcomes[line.split, episode, line.rule] = outcome


def _key(split: str, episode: Episode, rules: Mapping[str, Rule]) -> tuple[str, Episode, str]:
    return split, episode, str(rules.get(episode.task, ""))


def check_settings(path: Path, settings: Mapping[str, Any], noun: str) -> None:
    """Writes the settings of a folder. Raises UserError where it holds others, of `noun`."""
    text = json.dumps(settings, indent=1) + "\n"
    if not path.exists():
        write_atomically(path, text)
        return
    old, new = read_json(path, dict[str, Any], remedy=_AGAIN), json.loads(text)
    if old == new:
        return
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    told = "; ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed)
    raise UserError(f"--out={path.parent} holds {noun} of other settings ({told}); give another")
