"""`prepare ssv2`: Something-Something V2, webm files and label JSON as published.

    <source>/20bn-something-something-v2/<id>.webm
    <source>/something-something-v2-{train,validation,test,labels}.json, or <source>/labels/...

The newer download calls the tables labels/{train,validation,test,labels}.json; both are read.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.files.opening import source_json
from data_pipelines.readers.files.paths import natural, source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.readers.video.decoding import frames
from data_pipelines.readers.video.recipe import add_rate_arguments, decoder_versions, rate_options
from data_pipelines.typed_json import as_type

DESCRIPTION = "Something-Something V2: webm files and label JSON"
NAME = "ssv2"
VIDEOS = "20bn-something-something-v2"
RATE = 12.0  # frames per second of the published files
SPLITS = ("train", "validation", "test")
_REMEDY = "download the table again"


@dataclasses.dataclass
class _Row:
    """A row of a table; the test split is published without labels."""

    id: str | int
    template: str | None = None
    label: str | None = None
    placeholders: list[str] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(parser, size=224, source=f"folder that holds {VIDEOS}/ and the JSON files")
    add_rate_arguments(parser)


def options(args: argparse.Namespace) -> dict[str, Any]:
    return frame_options(args) | rate_options(args)


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    if not (root / VIDEOS).is_dir():
        raise DataError(f"--source {root}: expected the folder {VIDEOS}/ with <id>.webm in it")
    classes = _classes(root)
    listing = list_files(root / VIDEOS, (".webm",), follow_links=follow_links(options), deep=False)
    files = {path.stem: path for path in listing.files}
    unusable = {pathlib.PurePath(entry.name).stem: entry for entry in listing.skipped}
    items, skipped, seen, counts = [], [], {}, {}
    for split in SPLITS:
        rows = _table(root, split, list[Any]) if split != "test" or _path(root, split) else []
        counts[split] = len(rows)
        for number, row in enumerate(rows):
            try:
                row = as_type(row, _Row, where=f"{_path(root, split)}, row {number}")
                if str(row.id) in unusable:
                    skipped.append(unusable[str(row.id)])
                    continue
                item = _item(row, split, classes, files)
            except ItemError as error:
                skipped.append(Skipped(f"{row.id}.webm", error.reason, str(error)))
                continue
            except DataError as error:
                skipped.append(Skipped(f"{split} row {number}", "bad row", str(error)))
                continue
            if seen.setdefault(item.name, split) != split:
                raise DataError(f"{item.name} is in {seen[item.name]} and in {split}")
            items.append(item)
    unique = {item.name: item for item in items}
    return Plan(
        specs=[_spec(options, len(classes))],
        items=sorted(unique.values(), key=lambda item: natural(item.name)),
        skipped=skipped,
        sources={"folder": str(root), "listed": counts, "classes": len(classes)}
        | decoder_versions(),
        passed_over=listing.passed_over() | _unlisted(files, unique),
    )


def _unlisted(files: dict[str, pathlib.Path], items: dict[str, Item]) -> dict[str, dict]:
    """Videos that no table names, as Plan.passed_over has it."""
    names = [path.name for path in files.values() if f"{VIDEOS}/{path.name}" not in items]
    if not names:
        return {}
    return {".webm": {"files": len(names), "example": f"{VIDEOS}/{min(names, key=natural)}"}}


def _spec(options: dict[str, Any], classes: int) -> DatasetSpec:
    kept = {key: options[key] for key in ("fit", "fps", "stride")}
    return DatasetSpec(
        name=NAME,
        behaviour="people showing one of the classes with objects at hand",
        fps=(options["fps"] or RATE) / options["stride"],
        details=kept | {"classes": classes},
        **record_fields(options),
    )


def _path(root: pathlib.Path, name: str) -> pathlib.Path | None:
    long = f"something-something-v2-{name}.json"
    places = [root / long, root / "labels" / long, root / "labels" / f"{name}.json"]
    return next((path for path in places if os.path.lexists(path)), None)


def _table(root: pathlib.Path, name: str, kind: Any) -> Any:
    """The parsed table; raises DataError if it is missing, damaged or of another form."""
    path = _path(root, name)
    if path is None:
        raise DataError(
            f"--source {root}: something-something-v2-{name}.json is neither there nor in "
            "labels/; it belongs to the download"
        )
    return source_json(path, kind, remedy=_REMEDY)


def _classes(root: pathlib.Path) -> dict[str, int]:
    """Template without brackets -> class number."""
    numbers = {}
    for template, number in _table(root, "labels", dict[str, str | int]).items():
        if not re.fullmatch(r"[0-9]{1,6}", str(number)):
            raise DataError(
                f"{_path(root, 'labels')}: class {str(number)[:40]!r} of {template[:80]!r} is no "
                f"number; {_REMEDY}"
            )
        numbers[template] = int(number)
    return numbers


def _item(row: _Row, split: str, classes: dict[str, int], files: dict[str, pathlib.Path]) -> Item:
    """One video; raises ItemError 'unsafe path', 'missing clip' or 'unknown label'."""
    identity = str(row.id)
    if not re.fullmatch(r"\w[\w-]*", identity):
        raise ItemError("unsafe path", f"{identity[:80]!r}: ids are letters and digits")
    path = files.get(identity)
    if path is None:
        raise ItemError("missing clip", f"{VIDEOS}/{identity}.webm is listed in {split}, not there")
    payload: dict[str, Any] = {"split": split, "metadata": {"id": identity}}
    if row.template is not None:
        template = row.template
        plain = template.replace("[", "").replace("]", "")
        if plain not in classes:
            raise ItemError("unknown label", f"{identity}: {template!r} is not in labels.json")
        payload["metadata"] |= {
            "language": row.label or plain,
            "template": template,
            "placeholders": row.placeholders or [],
            "class": classes[plain],
        }
    return Item(f"{VIDEOS}/{path.name}", payload, path.stat().st_size)


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    path = source_folder(options["source"]) / item.name
    chosen = {key: options[key] for key in ("size", "fit", "fps", "stride")}
    metadata = dict(item.payload["metadata"])  # decoding adds what it finds out of the times
    yield Recording(
        item.name,
        frames={NAME: frames(path, **chosen, facts=metadata)},
        split=item.payload["split"],
        metadata=metadata,
    )
