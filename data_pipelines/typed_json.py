"""JSON that is read again, checked against the type that it should have.

One reader for manifests, summaries, other people's metadata: what does not fit is an error that
names file, field and value. Unknown fields are ignored, as newer versions may add some.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from data_pipelines.errors import DataError

T = TypeVar("T")


def read_json(path: str | os.PathLike, kind: type[T] | Any = Any, *, remedy: str = "") -> T:
    """The content of a JSON file as `kind`: a dataclass, dict[str, int], list[...], Any, ...

    Raises DataError for a file that cannot be read, is not JSON, or does not fit, followed by
    `remedy`.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(_message(path, f"cannot be read ({error.strerror})", remedy)) from error
    return parse_json(data, kind, where=str(path), remedy=remedy)


def parse_json(data: bytes | str, kind: type[T] | Any = Any, *, where: str, remedy: str = "") -> T:
    """`data` as `kind`; `where` names its origin in the DataError of text that does not fit."""
    text = data if isinstance(data, str) else data.decode("utf-8-sig", "surrogateescape")
    try:
        # Not msgspec's own decoder: it refuses names that are not UTF-8, and NaN, which others
        # write.
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(_message(where, f"is not JSON ({error})", remedy)) from None
    return as_type(value, kind, where=where, remedy=remedy)


def as_type(value: Any, kind: type[T] | Any, *, where: str, remedy: str = "") -> T:
    """Plain data (dicts, lists, numbers) as `kind`; raises DataError as `parse_json` does."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DataError(_message(where, _misfit(value, str(error)), remedy)) from None
    except UnicodeEncodeError as error:  # of a name; texts may be anything
        name = error.object.encode("ascii", "backslashreplace").decode()[:80]
        raise DataError(_message(where, f"a field is called '{name}': no UTF-8", remedy)) from None


def read_json_lines(
    path: str | os.PathLike, kind: type[T] | Any = Any, *, remedy: str = ""
) -> Iterator[T]:
    """One value per line; empty lines are skipped. Raises DataError as `read_json`, naming the
    line.

    Lines end at \\n only: texts may hold every other separator (U+2028, U+0085) as they are.
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield parse_json(line, kind, where=f"{path}, line {number}", remedy=remedy)
    except OSError as error:
        raise DataError(_message(path, f"cannot be read ({error.strerror})", remedy)) from error


def _misfit(document: Any, error: str) -> str:
    """ "field `splits.train`: expected `int`, got `str`: 'many'" from msgspec's words."""
    told, _, place = error.partition(" - at ")
    field, value = place.strip("`").removeprefix("$").removeprefix("."), document
    for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", field):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):  # a key of a mapping is written as [...]
            break
    where = f"field `{field}`" if field else "the whole"
    return f"{where}: {told[:1].lower()}{told[1:]}: {repr(value)[:80]}"


def _message(where: str | os.PathLike, what: str, remedy: str) -> str:
    return f"{where}: {what}" + (f"; {remedy}" if remedy else "")
