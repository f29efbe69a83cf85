"""`prepare table`: time series in CSV or Parquet files, whose rows are what is observed.

Every file is read twice: `plan` finds out which columns hold what and which rows make episodes
(survey.py, stretches.py), `read` goes over one file again and takes the values (gathering.py). An
item is a file, an episode a stretch of rows one period apart with nothing missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from data_pipelines.readers.recordings import Item, Plan, Recording
from data_pipelines.readers.table import options as table_options

DESCRIPTION = "your own tables of numbers over time (CSV, Parquet): vectors, no pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    table_options.add_arguments(parser)


def options(args: argparse.Namespace) -> dict[str, Any]:
    return table_options.options(args)


def plan(options: dict[str, Any]) -> Plan:
    from data_pipelines.readers.table import planning  # pyarrow takes a while

    return planning.plan(options)


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording]:
    from data_pipelines.readers.table import reading

    yield from reading.read(item, options)
