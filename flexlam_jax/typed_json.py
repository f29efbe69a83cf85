"""JSON that is read again, checked against the type that it should have.

What does not fit is one error that names file, field and value. NaN and Infinity are read, because
Python writes them; unknown fields of a dataclass are ignored, because newer versions may add some.
"""

import hashlib
import json
import re
from typing import Any, TypeVar

import msgspec
from etils import epath

from flexlam_jax.errors import DamagedFile, UserError

T = TypeVar("T")


def read_json(
    path: Any, kind: type[T] | Any, *, remedy: str, error: type[UserError] = DamagedFile
) -> T:
    """The content of a JSON file as `kind`: a dataclass, dict[str, int], list[...], Any, ...

    Raises:
      `error`: it cannot be read, is not JSON or does not fit; the message ends with `remedy`.
    """
    try:
        data = epath.Path(path).read_bytes()
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem.strerror or problem}); {remedy}") from problem
    return parse_json(data, kind, where=str(path), remedy=remedy, error=error)


def parse_json(
    data: bytes | str,
    kind: type[T] | Any,
    *,
    where: str,
    remedy: str,
    error: type[UserError] = DamagedFile,
) -> T:
    """`data` as `kind`; `where` names its origin in the message. Raises as `read_json`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where} is damaged: it is not JSON ({problem}); {remedy}") from problem
    return as_type(value, kind, where=where, remedy=remedy, error=error)


def as_type(
    value: Any,
    kind: type[T] | Any,
    *,
    where: str,
    remedy: str,
    error: type[UserError] = DamagedFile,
) -> T:
    """Plain data (dicts, lists, numbers) as `kind`. Raises as `read_json`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        told = _told(value, str(problem))
        raise error(f"{where} is damaged: {told}; {remedy}") from problem
    except UnicodeEncodeError as problem:  # "\\udcff" as a name, which JSON can say.
        raise error(
            f"{where} is damaged: a field's name is no text ({problem.reason}); {remedy}"
        ) from problem


def content_hash(values: dict[str, Any]) -> str:
    """sha256 of all fields but "sha256", where it is kept, as they are after a way through JSON."""
    rest = json.loads(json.dumps(values))
    rest.pop("sha256", None)
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _told(document: Any, problem: str) -> str:
    """ "Expected `int`, got `str` - at `$.files[0]`" with the value that lies there."""
    what, _, place = problem.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    value = document
    for name, index in re.findall(r"\.?([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", field):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            break
    text = json.dumps(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{field or 'the whole'}: {what[:1].lower()}{what[1:]}, it is {text}"
