"""The episodes of one file, as the plan laid them out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.format.vectors import placeholders
from data_pipelines.readers.files.paths import inside
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Recording
from data_pipelines.readers.table import files
from data_pipelines.readers.table.gathering import Gathered, gather
from data_pipelines.readers.table.options import dialect, writing
from data_pipelines.readers.table.stretches import Layout, Rules, layout
from data_pipelines.readers.table.survey import Roles, Survey, survey


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    """The recordings of a file; raises ItemError for one that cannot be read, or has changed."""
    given = item.payload
    root = files.root_of(options["source"])
    path = inside(root, item.name, follow_links=follow_links(options))
    columns = {key: tuple(given["roles"][key]) for key in ("state", "actions")}
    roles = Roles(given["roles"]["time"], given["roles"]["series"], **columns)
    found = survey(path, roles, dialect(options), writing(options))
    complete = found.complete((*roles.state, *roles.actions))
    laid = layout(found.seconds, found.series, complete, Rules(**given["rules"]), item.name)
    if found.rows != given["rows"] or len(laid.stretches) != item.episodes:
        raise ItemError(
            "changed", f"{path}: has {found.rows} rows, it had {given['rows']} when it was planned"
        )
    names = tuple(given["names"])
    starts = _starts(laid, found)
    found.seconds = None  # of a large file, before its values are read
    for part in gather(path, laid, roles, names, dialect(options), writing(options)):
        yield _recording(item, options, part, laid, found, starts, names)


def _starts(laid: Layout, found: Survey) -> list[str | float] | None:
    """When each stretch begins; None where there are no times."""
    if found.seconds is None:
        return None
    firsts = [found.seconds[laid.order[piece.start]] for piece in laid.stretches]
    return [time_text(float(first), found.kind) for first in firsts]


def _recording(
    item: Item,
    options: dict[str, Any],
    part: Gathered,
    laid: Layout,
    found: Survey,
    starts: list[str | float] | None,
    names: tuple[str, ...],
) -> Recording:
    piece = laid.stretches[part.number]
    series = found.names[piece.series] if found.series is not None else ""
    first = int(laid.order[piece.start])
    facts: dict[str, Any] = {"file": item.name, "first_row": first + 1}
    if series:
        facts["series"] = series
    if starts is not None:
        facts["start"] = starts[part.number]
    if filled := int(laid.filled[piece.start : piece.stop].sum()):
        facts["filled_rows"] = filled
    whole = f"{item.name}:{series}" if series else item.name
    group = {"series": series, "file": whole}.get(item.payload["split_by"])
    action = None
    if part.actions.shape[1]:
        action = part.actions[:-1, 0].astype(np.int32) if names else part.actions[:-1]
    return Recording(
        f"{whole}:{part.number:05d}",
        frames={options["name"]: placeholders(len(part.state))},
        action=action,
        state=part.state,
        group=group,
        split=piece.split,
        metadata=facts,
    )


def time_text(seconds: float, kind: str) -> str | float:
    """A time as ISO 8601 to the microsecond, with Z where its zone is known; or the number it was."""
    if kind == "numbers":
        return seconds
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return seconds
    return moment.isoformat() + ("Z" if kind == "utc" else "")
