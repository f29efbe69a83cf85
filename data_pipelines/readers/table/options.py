"""The options of `prepare table`: as flags, as data, and what they say of files."""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data_pipelines.errors import DataError
from data_pipelines.format.spec import FASTEST
from data_pipelines.option_ranges import check_ranges
from data_pipelines.readers.frame_options import add_trust_arguments
from data_pipelines.readers.table.stretches import BACKWARD

if TYPE_CHECKING:  # pyarrow takes a while, and --help needs none
    from data_pipelines.readers.table.files import Dialect
    from data_pipelines.readers.table.values import Writing

NAME = "table"
_LISTS = ("actions", "columns", "drop", "hidden", "exogenous", "missing", "names")
_PLAIN = (
    *("time", "episode", "action_kind", "gap_factor", "backward", "fill", "constant", "cut"),
    *("min_length", "split", "margin", "fps", "time_unit", "time_format", "delimiter", "decimal"),
    *("encoding", "name", "seed", "clip_stride", "max_span", "max_failures", "leaks"),
)
# Numbers of the options: the least and the most.
_RANGES = {
    "gap_factor": (1, 1_000_000_000),
    "fill": (0, 1_000_000),
    "cut": (2, 10_000_000),
    "min_length": (2, 10_000_000),
    "margin": (0, 1_000_000_000),
    "fps": (0, FASTEST),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", required=True, help="a CSV or Parquet file, or a folder of them"
    )
    _add_columns(parser)
    _add_rows(parser)
    _add_writing(parser)
    parser.add_argument("--fps", type=float, default=0.0, help="rows per second; 0 = by --time")
    parser.add_argument("--name", default=NAME, help="name of the dataset in the folder")
    parser.add_argument("--seed", type=int, default=0, help="decides the split")
    parser.add_argument(
        "--clip-stride", type=int, default=128, help="transitions owned by a record"
    )
    parser.add_argument(
        "--max-span", type=int, default=32, help="longest window, in rows minus one"
    )
    add_trust_arguments(
        parser,
        share="share of the episodes that may be unusable; lost rows count as episodes of mean length",
        of="rows",
    )


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--time", default="", help="column of times; without it rows are one apart")
    parser.add_argument("--episode", default="", help="column that tells series of rows apart")
    parser.add_argument(
        "--actions",
        default="",
        help="columns of what was done from a row to the next: one of words or of few whole numbers "
        "(discrete), or one or more of numbers (continuous)",
    )
    parser.add_argument("--action-kind", default="auto", choices=("auto", "discrete", "continuous"))
    parser.add_argument(
        "--columns", default="", help="columns that are observed; default: all others"
    )
    parser.add_argument("--drop", default="", help="columns that are left out")
    parser.add_argument(
        "--hidden",
        default="",
        help="columns that are stored as ground truth, for evaluators, and that no model may see",
    )
    parser.add_argument(
        "--exogenous",
        default="",
        help="those of the stored columns that the agent does not control",
    )
    parser.add_argument(
        "--constant",
        default="drop",
        choices=("drop", "keep"),
        help="what to do with columns that never change",
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gap-factor",
        type=float,
        default=1.5,
        help="a step longer than so many times a file's median ends an episode",
    )
    parser.add_argument(
        "--backward",
        default="refuse",
        choices=BACKWARD,
        help="what to do with times that run back: refuse the file, sort its rows, or begin an "
        "episode there",
    )
    parser.add_argument(
        "--fill",
        type=int,
        default=0,
        help="rows in a row without some value that take it from the row before; else they end an "
        "episode",
    )
    parser.add_argument("--cut", type=int, default=4096, help="rows of an episode at most")
    parser.add_argument("--min-length", type=int, default=8, help="rows of an episode at least")
    parser.add_argument(
        "--split",
        default="auto",
        choices=("auto", "series", "time"),
        help="whole series (or files) into train, validation and test, or each in blocks of time; "
        "auto: blocks where there are fewer than three series",
    )
    parser.add_argument(
        "--margin",
        type=int,
        default=0,
        help="rows left out between two blocks of time; 0 = one in a hundred, --max-span at least",
    )


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--missing",
        default="",
        help="further words for a missing value, beside NA, NaN, null, - ...",
    )
    parser.add_argument(
        "--time-unit",
        default="s",
        choices=("s", "ms", "us", "ns"),
        help="of times that are numbers",
    )
    parser.add_argument(
        "--time-format", default="", help="of strptime, for times that are not ISO 8601"
    )
    parser.add_argument(
        "--delimiter", default="", help="between cells; default: , or a tab in .tsv"
    )
    parser.add_argument("--decimal", default=".", help="the decimal point")
    parser.add_argument("--encoding", default="utf8", help="of CSV files")
    parser.add_argument("--names", default="", help="of the columns, for files without a header")


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The options as data; raises DataError for values that make no sense."""
    check_ranges(vars(args), _RANGES)
    if args.cut < args.min_length:
        raise DataError(f"--cut is {args.cut}, less than --min-length={args.min_length}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    if len(args.delimiter.replace("\\t", "\t")) > 1 or len(args.decimal) != 1:
        raise DataError("--delimiter and --decimal are one character each")
    chosen: dict[str, Any] = {"source": str(pathlib.Path(args.source).expanduser().absolute())}
    chosen |= {name: getattr(args, name) for name in _PLAIN}
    chosen |= {name: _listed(getattr(args, name), f"--{name}") for name in _LISTS}
    return chosen if args.follow_links else chosen | {"follow_links": False}


def _listed(text: str, flag: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise DataError(f"{flag} names {twice!r} twice")
    return names


def dialect(options: Mapping[str, Any]) -> Dialect:
    from data_pipelines.readers.table.files import Dialect

    delimiter = options["delimiter"].replace("\\t", "\t")
    return Dialect(delimiter, options["encoding"], tuple(options["names"]))


def writing(options: Mapping[str, Any]) -> Writing:
    from data_pipelines.readers.table.values import Writing

    missing, unit = tuple(options["missing"]), options["time_unit"]
    return Writing(missing, options["decimal"], unit, options["time_format"])
