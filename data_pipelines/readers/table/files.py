"""Files of tables: what lies in a source, the columns of a file, and its rows a batch at a time.

CSV and Parquet are both read by pyarrow, which TensorFlow Datasets brings along. Cells of CSV files
come as they are written: what is a number is judged column by column (values.py), not guessed from
the first rows.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import dataclasses
import gzip
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv

from data_pipelines.errors import DataError
from data_pipelines.readers.files import opening, parquet_tables
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.recordings import ItemError

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_BLOCK = 1 << 20  # bytes of a CSV file that are parsed at once; pyarrow holds some twenty of them
_HEAD = 1 << 16  # bytes that must be text
_ROWS = 1 << 16  # of a Parquet file likewise
MOST_ROWS = 500_000_000  # of a file; some 20 bytes of memory each while it is surveyed


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How CSV files are written. delimiter: "" for a comma, or a tab in .tsv files; names: of the
    columns, where the files have no header.
    """

    delimiter: str = ""
    encoding: str = "utf8"
    names: tuple[str, ...] = ()


def find(source: str, links: bool) -> Listing:
    """The tables of --source, a file or a folder; raises DataError if there are none."""
    path = pathlib.Path(source).expanduser().absolute()
    if path.is_dir():
        listing = list_files(path, named=_is_table, follow_links=links)
    elif path.exists():
        listing = Listing(path.parent, [path])
    else:
        raise DataError(f"--source {source}: no such file or folder")
    if not listing.files:
        others = "; ".join(entry.detail for entry in listing.skipped[:3])
        kinds = " ".join((*CSV, *PARQUET))
        raise DataError(f"--source {source}: no tables ({kinds}){others and f': {others}'}")
    return listing


def root_of(source: str) -> pathlib.Path:
    """The folder of a --source that is a file or a folder."""
    path = pathlib.Path(source).expanduser().absolute()
    return path if path.is_dir() else path.parent


def _is_table(name: str) -> bool:
    return name.lower().endswith((*CSV, *PARQUET))


def is_parquet(path: pathlib.Path) -> bool:
    return path.name.lower().endswith(PARQUET)


def columns(path: pathlib.Path, dialect: Dialect) -> list[str]:
    """Names of the columns of a file, without spaces around them, "" for one without a name.

    Raises ItemError for what is no table, is empty, lacks a header or names a column twice.
    """
    if is_parquet(path):
        names = list(parquet_tables.open_parquet(path).schema_arrow.names)
    else:
        names = _header(path, dialect)
    twice = [name for name, count in collections.Counter(names).items() if name and count > 1]
    if twice:
        raise ItemError("two columns", f"{path}: two columns are called {twice[0]!r}; rename one")
    return names


def _header(path: pathlib.Path, dialect: Dialect) -> list[str]:
    _check_csv(path, dialect)
    with _open(path, dialect, []) as reader:
        names = [name.strip() for name in reader.schema.names]
    if not dialect.names and all(map(_is_number, names)):
        raise ItemError(
            "no header",
            f"{path}: the first row holds numbers ({', '.join(names[:4])}), no names of columns; "
            "give them with --names=time,level,...",
        )
    other = next((d for d in ";\t|" if len(names) == 1 and d in names[0]), "")
    if other:
        raise ItemError(
            "one column",
            f"{path}: its header is one column, {names[0][:60]!r}; give --delimiter={other!r}",
        )
    return names


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _kind(path: pathlib.Path) -> str:
    return "a gzipped CSV file" if path.name.lower().endswith(".gz") else "a CSV file"


def _check_csv(path: pathlib.Path, dialect: Dialect) -> None:
    """Raises ItemError for what begins like something else, or is no text."""
    found = opening.fault(path, _kind(path))
    if found is not None:
        raise found
    with contextlib.suppress(OSError, EOFError, zlib.error):  # told when it is parsed
        opened = gzip.open if path.name.lower().endswith(".gz") else open
        with opened(path, "rb") as file:
            head = file.read(_HEAD)
        try:
            text = codecs.getincrementaldecoder(dialect.encoding)().decode(head)
        except LookupError as error:
            raise DataError(f"--encoding is {dialect.encoding!r}, which is none") from error
        except UnicodeDecodeError as error:
            raise ItemError(
                "encoding",
                f"{path}: is no {dialect.encoding} text (byte {error.start}); give --encoding, e.g. "
                "latin1 or utf-16, if it is a table",
            ) from error
        if "\0" in text:
            raise ItemError("other format", f"{path}: holds zero bytes, so it is no CSV file")


def batches(
    path: pathlib.Path, wanted: Sequence[str], dialect: Dialect, ragged: list[int]
) -> Iterator[dict[str, pa.Array]]:
    """The rows of a file in order, {column: array}, a few thousand rows at a time.

    ragged: gets the line (from 1) of every row of a CSV file that has more or fewer cells than the
    header; such rows are left out. Raises ItemError for a file that is damaged.
    """
    rows = 0
    for batch in (
        _parquet(path, wanted) if is_parquet(path) else _csv(path, wanted, dialect, ragged)
    ):
        rows += batch.num_rows
        if rows > MOST_ROWS:
            raise ItemError("too large", f"{path}: more than {MOST_ROWS} rows; split the file")
        if batch.num_rows:
            yield dict(zip(wanted, batch.columns, strict=True))


def _parquet(path: pathlib.Path, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    table = parquet_tables.open_parquet(path)
    nested = [name for name in wanted if pa.types.is_nested(table.schema_arrow.field(name).type)]
    if nested:
        raise ItemError(
            "nested column", f"{path}: column {nested[0]!r} holds lists; leave it out with --drop"
        )
    for batch in parquet_tables.iter_batches(table, path, wanted, None, rows=_ROWS):
        yield batch.select(list(wanted))


def _csv(
    path: pathlib.Path, wanted: Sequence[str], dialect: Dialect, ragged: list[int]
) -> Iterator[pa.RecordBatch]:
    with _open(path, dialect, []) as reader:
        held = {name.strip(): name for name in reader.schema.names}
    stored = [held[name] for name in wanted]
    try:
        with _open(path, dialect, stored, ragged) as reader:
            yield from reader
    except (OSError, ValueError) as error:
        raise opening.unreadable(path, error, _kind(path)) from error


def _open(
    path: pathlib.Path, dialect: Dialect, wanted: Sequence[str], ragged: list[int] | None = None
) -> Any:
    """A streaming reader of `wanted` as text, or of all columns as Arrow guesses them."""

    def left_out(row: Any) -> str:
        if ragged is not None:
            ragged.append(row.number or 0)
        return "skip"

    csv = pyarrow.csv
    default = "\t" if ".tsv" in path.name.lower() else ","
    try:
        return csv.open_csv(
            path,
            read_options=csv.ReadOptions(
                # With threads the numbers of rows are unknown; the rest is as fast.
                use_threads=False,
                block_size=_BLOCK,
                column_names=list(dialect.names) or None,
                encoding=dialect.encoding,
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter or default, invalid_row_handler=left_out
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()), include_columns=list(wanted)
            ),
        )
    except (OSError, ValueError) as error:
        if "Empty CSV" in str(error):
            raise ItemError("empty file", f"{path}: no rows") from error
        raise opening.unreadable(path, error, _kind(path)) from error
