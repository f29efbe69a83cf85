"""Rows as the text of a CSV file."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_of(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, digits: int | None = None
) -> str:
    """A header of the columns and a line per row; what a row lacks, and None, is empty.

    Args:
      digits: significant ones of floats; all that they have if None.

    Raises:
      ValueError: a row has a key that is no column.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _shown(value, digits) for name, value in row.items()})
    return text.getvalue()


def _shown(value: Any, digits: int | None) -> Any:
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else value
