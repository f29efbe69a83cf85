"""What of a table is not in the dataset, or not as it stood in the file: in words, with numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.readers.recordings import Skipped
from data_pipelines.readers.table import stretches
from data_pipelines.readers.table.columns import Chosen
from data_pipelines.readers.table.stretches import Layout, Rules
from data_pipelines.readers.table.survey import Roles, Survey

_IRREGULAR = 0.05  # share of uneven steps that is told
_UNEVEN = 0.1  # by which a step may differ from the median
_REMEDIES = {
    stretches.HOLES: "--fill=N lets N of them in a row take the last value",
    stretches.SHORT: "between gaps there are fewer rows than --min-length asks for",
    stretches.REPEATED: "the first row of a time is kept",
    stretches.UNPLACED: "these rows stand nowhere",
    stretches.BETWEEN: "left out, so that no split's rows are next to another's",
}


def entries(file: str, layout: Layout, survey: Survey, roles: Roles) -> list[Skipped]:
    """Of one file, an entry per reason; each counts by its rows."""
    found = [
        Skipped(
            file,
            reason,
            f"{file}: {len(rows)} rows, the first is row {int(rows.min()) + 1}"
            f"{_columns(survey, roles) if reason == stretches.HOLES else ''}; {_REMEDIES[reason]}",
            expected=reason == stretches.BETWEEN,
            episodes=0,
            frames=len(rows),
        )
        for reason, rows in layout.lost.items()
    ]
    if survey.ragged:
        detail = (
            f"{file}: {len(survey.ragged)} rows have more or fewer cells than the header, the first "
            f"in line {survey.ragged[0]}"
        )
        lost = len(survey.ragged)
        found.append(Skipped(file, "ragged rows", detail, episodes=0, frames=lost))
    return found


def _columns(survey: Survey, roles: Roles) -> str:
    """' (flow 10, level 2; 3 of them infinite)': cells without a value, in the worst columns."""
    lacking = {name: survey.columns[name] for name in (*roles.state, *roles.actions)}
    worst = sorted(lacking.items(), key=lambda item: -item[1].missing)[:5]
    told = ", ".join(f"{name} {column.missing}" for name, column in worst if column.missing)
    infinite = sum(column.infinite for column in lacking.values())
    return f" (cells: {told}{f'; {infinite} of them infinite' if infinite else ''})" if told else ""


def filled(layout: Layout) -> int:
    """Rows that took values of the row before."""
    return sum(int(layout.filled[p.start : p.stop].sum()) for p in layout.stretches)


def uneven(between: np.ndarray, rules: Rules, period: float) -> float:
    """Share of the steps (N,), gaps left out, that differ by more than a tenth from their median."""
    within = between[between <= rules.gap]
    within /= period
    within -= 1
    return float((np.abs(within, out=within) > _UNEVEN).mean()) if len(within) else 0.0


def jitter(file: str, share: float, period: float) -> list[str]:
    """A note on rows that are not one period apart; none if they are."""
    if share <= _IRREGULAR:
        return []
    return [
        f"{file}: {share:.0%} of the steps differ by more than a tenth from their median, "
        f"{period:.6g} s; rows are taken as one step apart"
    ]


def notes(
    facts: Mapping[str, Any],
    chosen: Chosen,
    extra: Sequence[str],
    unnamed: bool,
    options: Mapping[str, Any],
) -> list[str]:
    """What a user should know, a line each.

    extra: columns that the first table lacks; unnamed: whether tables have columns without a name.
    """
    lines = []
    if unnamed:
        lines.append("a column without a name is left out")
    if chosen.constant:
        lines.append(f"columns left out, they never change: {', '.join(chosen.constant)}")
    if chosen.coarse:
        lines.append(
            f"columns that float32 rounds by more than a thousandth of their range: "
            f"{', '.join(chosen.coarse)}; subtract an offset"
        )
    if extra:
        lines.append(f"columns left out, the first table has none: {', '.join(extra[:8])}")
    if gaps := facts.get("gaps"):
        lines.append(
            f"gaps: {gaps} (steps above {options['gap_factor']:g} times the median end an episode)"
        )
    if moved := facts.get("times_that_ran_back"):
        what = "rows were sorted" if options["backward"] == "sort" else "an episode began at each"
        lines.append(f"times that ran back: {moved} ({what})")
    if count := facts.get("filled_rows"):
        lines.append(f"filled rows: {count} (a missing value was taken from the row before)")
    if facts["split_by"] == "blocks of time":
        lines.append("fewer than three series: train, validation and test are blocks of time")
    found = facts.get("seconds_between_rows", [])
    if len(found) > 1:
        lines.append(f"files differ in their rate: {min(found):g} to {max(found):g} s between rows")
    return lines
