"""What was played so far: episodes.jsonl gets a line as an episode ends, see episode_lines.py.

Lost episodes have lines too, and are played once more by the next call.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.episode_lines import add_lines, check_settings, read_lines
from flexlam_jax.evaluation.decision_rules import Rule
from flexlam_jax.evaluation.rollouts import Episode, Outcome

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
        check_settings(folder, settings, noun)
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
        add_lines(self._path, [values])

    def _read(self) -> None:
        for line in read_lines(self._path, _Line):
            episode = Episode(line.task, line.seed)
            outcome = Outcome(episode, line.episode_return, line.length, line.lost, line.success)
            self._outcomes[line.split, episode, line.rule] = outcome


def _key(split: str, episode: Episode, rules: Mapping[str, Rule]) -> tuple[str, Episode, str]:
    return split, episode, str(rules.get(episode.task, ""))
