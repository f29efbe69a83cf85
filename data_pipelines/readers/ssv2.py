"""`prepare ssv2`: Something-Something V2, webm files and label JSON as published.

    <source>/20bn-something-something-v2/<id>.webm
    <source>/something-something-v2-{train,validation,test,labels}.json, or <source>/labels/...

The newer download calls the tables labels/{train,validation,test,labels}.json; both are read.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.frame_options import add_frame_arguments, frame_options, record_fields
from data_pipelines.readers.paths import inside, natural, source_folder
from data_pipelines.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.spec import DatasetSpec
from data_pipelines.readers.video_decoding import frames
from data_pipelines.readers.videos import add_rate_arguments, decoder_versions, rate_options

DESCRIPTION = "Something-Something V2: webm files and label JSON"
NAME = "ssv2"
VIDEOS = "20bn-something-something-v2"
RATE = 12.0  # frames per second of the published files
SPLITS = ("train", "validation", "test")


def add_arguments(parser) -> None:
    add_frame_arguments(parser, size=224, source=f"folder that holds {VIDEOS}/ and the JSON files")
    add_rate_arguments(parser)


def options(args) -> dict[str, Any]:
    return frame_options(args) | rate_options(args)


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    if not (root / VIDEOS).is_dir():
        raise DataError(f"--source {root}: expected the folder {VIDEOS}/ with <id>.webm in it")
    classes = _classes(root)
    with os.scandir(root / VIDEOS) as entries:
        files = {entry.name: entry for entry in entries}
    items, skipped, seen, counts = [], [], {}, {}
    for split in SPLITS:
        rows = _table(root, split, list) if split != "test" or _path(root, split) else []
        counts[split] = len(rows)
        for row in rows:
            try:
                item = _item(row, split, classes, files, root)
            except ItemError as error:
                skipped.append(Skipped(f"{_identity(row)}.webm", error.reason, str(error)))
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
    )


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
    return next((path for path in places if path.is_file()), None)


def _table(root: pathlib.Path, name: str, kind: type) -> Any:
    """The parsed table; raises DataError if it is missing, damaged or of another form."""
    path = _path(root, name)
    if path is None:
        raise DataError(
            f"--source {root}: something-something-v2-{name}.json is neither there nor in "
            "labels/; it belongs to the download"
        )
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); download it again") from error
    if not isinstance(table, kind):
        raise DataError(f"{path}: expected a JSON {kind.__name__}; download it again")
    return table


def _classes(root: pathlib.Path) -> dict[str, int]:
    """Template without brackets -> class number."""
    table = _table(root, "labels", dict)
    try:
        return {template: int(number) for template, number in table.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{_path(root, 'labels')}: a class is no number ({error})") from error


def _identity(row: Any) -> str:
    return str(row.get("id")) if isinstance(row, dict) else repr(row)


def _item(row: Any, split: str, classes: dict[str, int], files: dict, root: pathlib.Path) -> Item:
    """One video; raises ItemError 'unsafe path', 'missing clip' or 'unknown label'."""
    identity = _identity(row)
    if not re.fullmatch(r"\w[\w-]*", identity):
        inside(root / VIDEOS, f"{identity}.webm")
        raise ItemError("unsafe path", f"{identity!r}: ids are letters and digits")
    entry = files.get(f"{identity}.webm")
    if entry is None or not entry.is_file():
        raise ItemError("missing clip", f"{VIDEOS}/{identity}.webm is listed in {split}, not there")
    if entry.is_symlink():
        inside(root / VIDEOS, entry.name)
    payload: dict[str, Any] = {"split": split, "metadata": {"id": identity}}
    if row.get("template") is not None:  # the test split is published without labels
        template = str(row["template"])
        plain = template.replace("[", "").replace("]", "")
        if plain not in classes:
            raise ItemError("unknown label", f"{identity}: {template!r} is not in labels.json")
        payload["metadata"] |= {
            "language": str(row.get("label") or plain),
            "template": template,
            "placeholders": list(row.get("placeholders") or []),
            "class": classes[plain],
        }
    return Item(f"{VIDEOS}/{entry.name}", payload, entry.stat().st_size)


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    path = source_folder(options["source"]) / item.name
    chosen = {key: options[key] for key in ("size", "fit", "fps", "stride")}
    yield Recording(
        item.name,
        frames={NAME: frames(path, **chosen)},
        split=item.payload["split"],
        metadata=item.payload["metadata"],
    )
