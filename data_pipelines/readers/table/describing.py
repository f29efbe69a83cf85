"""What is told of tables: the dataset's spec, and the facts and notes of the manifest."""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.format.spec import FASTEST, DatasetSpec
from data_pipelines.format.vectors import SPEC_FIELDS, vector_details
from data_pipelines.readers.files.listing import Listing
from data_pipelines.readers.table import losses
from data_pipelines.readers.table.columns import Chosen
from data_pipelines.readers.table.stretches import Layout, Rules, steps
from data_pipelines.readers.table.survey import Survey

_SAME_RATE = 0.01  # by which the periods of files may differ to be one
_MARGIN = 0.01  # of the rows of a file, left out between blocks of time


@dataclasses.dataclass
class Table:
    """A file that can be used.

    period: seconds between rows, the median; 0 where there are no times. uneven: share of the steps
    that differ much from it.
    """

    name: str
    path: pathlib.Path
    survey: Survey
    period: float
    uneven: float
    rules: Rules
    layout: Layout | None = None


def table_of(root: pathlib.Path, name: str, found: Survey, options: Mapping[str, Any]) -> Table:
    """A surveyed file of `root`, with the rules of its rows; its layout is made later."""
    between = steps(found.seconds, found.series) if found.seconds is not None else np.zeros(0)
    period = float(np.median(between)) if len(between) else 0.0
    rules = Rules(
        gap=options["gap_factor"] * period if period else math.inf,
        backward=options["backward"],
        fill=options["fill"],
        shortest=options["min_length"],
        longest=options["cut"],
        margin=options["margin"] or max(options["max_span"], round(_MARGIN * found.rows)),
    )
    uneven = losses.uneven(between, rules, period) if period else 0.0
    return Table(name, root / name, found, period, uneven, rules)


def spec_of(tables: Sequence[Table], chosen: Chosen, options: Mapping[str, Any]) -> DatasetSpec:
    roles = chosen.roles
    observed = [name for name in roles.state if name not in chosen.hidden]
    details = {"action": "action t leads from row t to row t + 1"} if roles.actions else {}
    if roles.time:
        details["time"] = roles.time
    return DatasetSpec(
        name=options["name"],
        action=chosen.action,
        state_names=roles.state,
        exogenous_state=tuple(name for name in options["exogenous"] if name in roles.state),
        behaviour="rows of tables",
        fps=options["fps"] or _rate(tables),
        clip_stride=options["clip_stride"],
        max_span=options["max_span"],
        details=vector_details(observed) | details,
        **SPEC_FIELDS,
    )


def _rate(tables: Sequence[Table]) -> float:
    """Rows per second; 0 where there are no times, or files differ."""
    periods = [table.period for table in tables]
    if min(periods) <= 0 or max(periods) > (1 + _SAME_RATE) * min(periods):
        return 0.0
    return min(float(FASTEST), 1 / float(np.median(periods)))


def facts_of(
    listing: Listing,
    tables: Sequence[Table],
    chosen: Chosen,
    extra: set[str],
    split_by: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """JSON-able, for the manifest; `notes` are printed."""
    rows = sum(table.survey.rows for table in tables)
    used = sum(p.stop - p.start for table in tables for p in table.layout.stretches)
    facts: dict[str, Any] = {
        "folder": str(listing.root),
        "files": len(listing.files),
        "rows": rows,
        "used_rows": used,
        "split_by": {"series": f"column {options['episode']}", "file": "file"}.get(
            split_by, "blocks of time"
        ),
    }
    counts = collections.Counter()
    for table in tables:
        counts["gaps"] += table.layout.gaps
        counts["times_that_ran_back"] += table.layout.moved
        counts["filled_rows"] += losses.filled(table.layout)
    facts |= {key: count for key, count in counts.items() if count}
    if chosen.constant:
        facts["constant_columns"] = list(chosen.constant)
    periods = sorted(table.period for table in tables)
    if periods[-1]:
        facts["seconds_between_rows"] = sorted(
            {float(f"{period:.9g}") for period in (periods[0], periods[-1])}
        )
    notes = losses.notes(facts, chosen, sorted(extra - {""}), "" in extra, options)
    jitter = [losses.jitter(table.name, table.uneven, table.period) for table in tables]
    notes += sum(jitter, [])[:3]
    return facts | {"notes": notes}
