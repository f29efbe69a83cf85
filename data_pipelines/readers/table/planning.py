"""All tables of a source surveyed: which columns are kept, which rows make episodes, who is lost."""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.errors import DataError
from data_pipelines.format.spec import FASTEST, DatasetSpec
from data_pipelines.format.vectors import SPEC_FIELDS, vector_details
from data_pipelines.readers.files.listing import Listing
from data_pipelines.readers.recordings import Item, ItemError, Plan, Skipped
from data_pipelines.readers.table import columns, files, losses
from data_pipelines.readers.table.columns import Chosen
from data_pipelines.readers.table.options import dialect, writing
from data_pipelines.readers.table.stretches import Layout, Rules, layout, steps
from data_pipelines.readers.table.survey import Roles, Survey, survey, words_of

_SAME_RATE = 0.01  # by which the periods of files may differ to be one
_MARGIN = 0.01  # of the rows of a series, left out between blocks of time


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


def plan(options: dict[str, Any]) -> Plan:
    """What a source holds; reads every file once."""
    listing = files.find(options["source"], options.get("follow_links", True))
    skipped = list(listing.skipped)
    roles, surveys, extra = _surveyed(listing, options, skipped)
    if not surveys:
        raise DataError(f"--source {options['source']}: no table can be used{_why(skipped)}")
    surveys = _without_words(roles, surveys, skipped)
    chosen = columns.choose(roles, list(surveys.values()), options)
    tables = [_table(listing.root, name, s, options) for name, s in surveys.items()]
    split_by = _lay_out(tables, chosen, options, skipped)
    items = [_item(table, chosen, split_by) for table in tables if table.layout.stretches]
    for table in tables:
        skipped += losses.entries(table.name, table.layout, table.survey, chosen.roles)
    if not items:
        raise DataError(
            f"--source {options['source']}: no {options['min_length']} rows in a row can be used"
            f"{_why(skipped)}"
        )
    facts = _facts(listing, tables, chosen, extra, split_by, options)
    return Plan(
        specs=[_spec(tables, chosen, options)],
        items=items,
        skipped=skipped,
        sources=facts,
        one_recording_per_item=False,
        passed_over=listing.passed_over(),
    )


def _why(skipped: Sequence[Skipped]) -> str:
    return "".join(f"; {entry.reason}: {entry.detail}" for entry in skipped[:3])


def _surveyed(
    listing: Listing, options: Mapping[str, Any], skipped: list[Skipped]
) -> tuple[Roles | None, dict[str, Survey], set[str]]:
    """(roles by the first table that can be opened, file -> its survey, columns of other files).

    The latter holds "" where a column has no name.
    """
    roles, used, found, extra = None, set(), {}, set()
    for path in listing.files:
        name = path.relative_to(listing.root).as_posix()
        try:
            held = files.columns(path, dialect(options))
            if roles is None:
                roles = columns.asked(held, options)
                used = {*held, *options["drop"]} - {""}
            lacking = [column for column in roles.needed if column not in held]
            if lacking:
                raise ItemError(
                    "other columns",
                    f"{name}: has no column {', '.join(map(repr, lacking[:5]))}; it has "
                    f"{', '.join(held[:20])}. Prepare it alone, or name --columns that all have",
                )
            found[name] = survey(path, roles, dialect(options), writing(options))
        except ItemError as error:
            skipped.append(Skipped(name, error.reason, str(error), episodes=None))
        else:
            extra |= {column for column in held if not column or column not in used}
    return roles, found, extra


def _without_words(
    roles: Roles, surveys: dict[str, Survey], skipped: list[Skipped]
) -> dict[str, Survey]:
    """The files whose columns hold numbers; raises DataError for a column that is words in all."""
    wordy = words_of(surveys, roles.state)
    everywhere = {name: found for name, found in wordy.items() if len(found) == len(surveys)}
    if everywhere:
        told = ", ".join(
            f"{name!r} ({next(iter(found.values()))} of {next(iter(found))})"
            for name, found in list(everywhere.items())[:8]
        )
        raise DataError(
            f"--source: columns hold words, no numbers: {told}. Leave them out with --drop="
            f"{','.join(everywhere)}, name one as --actions, --episode or --time, or the word for a "
            "missing value with --missing=WORD"
        )
    kept = dict(surveys)
    for name, found in wordy.items():
        for file, word in found.items():
            if kept.pop(file, None):
                detail = f"{file}: column {name!r} holds {word}, and numbers in other files"
                skipped.append(Skipped(file, "words", detail, episodes=None))
    if not kept:
        raise DataError(f"--source: every table holds words among its numbers{_why(skipped)}")
    return kept


def _table(root: pathlib.Path, name: str, found: Survey, options: Mapping[str, Any]) -> Table:
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


def _lay_out(
    tables: list[Table], chosen: Chosen, options: Mapping[str, Any], skipped: list[Skipped]
) -> str:
    """Gives every table its layout, and takes out those that have none; returns what is split:
    'series' of --episode, 'file' or 'time'.
    """
    for table in list(tables):
        try:
            table.layout = _layout(table, chosen)
        except ItemError as error:
            skipped.append(Skipped(table.name, error.reason, str(error), episodes=None))
            tables.remove(table)
    if not tables:
        raise DataError(f"--source {options['source']}: no table can be used{_why(skipped)}")
    groups = {kind: set() for kind in ("series", "file")}
    for table in tables:
        for piece in table.layout.stretches:
            series = table.survey.names[piece.series] if chosen.roles.series else ""
            groups["series"].add(series)
            groups["file"].add((table.name, series))
    for kind, found in groups.items():
        if len(found) >= len(SPLITS) and options["split"] != "time":
            return kind
    if options["split"] == "series":
        raise DataError(
            f"--source: {len(groups['file'])} series of rows; train, validation and test need three."
            " --split=time cuts each into three blocks"
        )
    for table in tables:
        table.rules = dataclasses.replace(table.rules, blocks=True)
        table.layout = _layout(table, chosen)
    held = {piece.split for table in tables for piece in table.layout.stretches}
    if held and len(held) < len(SPLITS):
        raise DataError(
            f"--source: too few rows for blocks of train, validation and test of --min-length="
            f"{options['min_length']} rows and a margin between them: only "
            f"{', '.join(split for split in SPLITS if split in held)} got any. Record more, or "
            "lower --margin or --min-length"
        )
    return "time"


def _layout(table: Table, chosen: Chosen) -> Layout:
    complete = table.survey.complete((*chosen.roles.state, *chosen.roles.actions))
    return layout(table.survey.seconds, table.survey.series, complete, table.rules, table.name)


def _item(table: Table, chosen: Chosen, split_by: str) -> Item:
    payload = {
        "rows": table.survey.rows,
        "roles": dataclasses.asdict(chosen.roles),
        "names": chosen.names,
        "rules": dataclasses.asdict(table.rules),
        "split_by": split_by,
    }
    size = table.path.stat().st_size
    return Item(table.name, payload, size, episodes=len(table.layout.stretches))


def _spec(tables: Sequence[Table], chosen: Chosen, options: Mapping[str, Any]) -> DatasetSpec:
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


def _facts(
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
