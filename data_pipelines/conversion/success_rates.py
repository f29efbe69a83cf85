"""How many of the episodes that an expert played it solved, of datasets that keep those alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.format.spec import DatasetSpec

SOLVED_ONLY = {"kept": "solved episodes only"}  # among the details of such a dataset
FAILED, LOST = "failed", "lost"  # reasons why an episode is left out


def success_rates(
    specs: Sequence[DatasetSpec],
    kept: Mapping[str, int],
    skipped: Sequence[tuple[str, str]],
) -> dict[str, dict[str, Any]]:
    """{name: {"solved", "failed", "lost", "rate"}} of the datasets that say so, {} if none does.

    A name is that of a recording where several cameras show it. rate: solved / (solved + failed).

    Args:
      kept: dataset -> its number of episodes.
      skipped: (name, reason) of the episodes that were left out, named "<name> episode <number>".
    """
    rates: dict[str, dict[str, Any]] = {}
    for spec in specs:
        if SOLVED_ONLY.items() <= spec.details.items():
            name = spec.recording or spec.name
            reasons = [
                why for episode, why in skipped if episode.rpartition(" episode ")[0] == name
            ]
            solved, failed = kept.get(spec.name, 0), reasons.count(FAILED)
            rates[name] = {
                "solved": solved,
                "failed": failed,
                "lost": reasons.count(LOST),
                "rate": round(solved / max(1, solved + failed), 4),
            }
    return rates
