"""All tables of a source surveyed: which columns are kept, which rows make episodes, who is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.errors import DataError
from data_pipelines.readers.files.listing import Listing
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Skipped
from data_pipelines.readers.table import columns, files, losses
from data_pipelines.readers.table.columns import Chosen
from data_pipelines.readers.table.describing import Table, facts_of, spec_of, table_of
from data_pipelines.readers.table.options import dialect, writing
from data_pipelines.readers.table.stretches import Layout, layout
from data_pipelines.readers.table.survey import Roles, Survey, survey, words_of


def plan(options: dict[str, Any]) -> Plan:
    """What a source holds; reads every file once."""
    listing = files.find(options["source"], follow_links(options))
    skipped = list(listing.skipped)
    roles, surveys, extra = _surveyed(listing, options, skipped)
    if not surveys:
        raise DataError(f"--source {options['source']}: no table can be used{_why(skipped)}")
    surveys = _without_words(roles, surveys, skipped)
    chosen = columns.choose(roles, list(surveys.values()), options)
    tables = [table_of(listing.root, name, s, options) for name, s in surveys.items()]
    split_by = _lay_out(tables, chosen, options, skipped)
    items = [_item(table, chosen, split_by) for table in tables if table.layout.stretches]
    for table in tables:
        skipped += losses.entries(table.name, table.layout, table.survey, chosen.roles)
    if not items:
        raise DataError(
            f"--source {options['source']}: no {options['min_length']} rows in a row can be used"
            f"{_why(skipped)}"
        )
    facts = facts_of(listing, tables, chosen, extra, split_by, options)
    return Plan(
        specs=[spec_of(tables, chosen, options)],
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
