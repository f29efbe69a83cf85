"""The plant as its owner would have it: one CSV file of a log, for `prepare table`.

    python -m data_pipelines.simulators.plant.csv_table --out=plant.csv [options of `prepare plant`]

A row per instant: time (ISO 8601), shift, the levels, demand and inflow, and what the operator set:
`setting`, or `pump_1` and `pump_2` with --actions=continuous. With --hide-actions the latter two are
there in any case, since somebody must know the truth: name them as --hidden.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.console import run_command
from data_pipelines.conversion.output import writing
from data_pipelines.simulators.plant import recipe, tanks
from data_pipelines.whole_files import whole_file

_BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_BETWEEN = datetime.timedelta(hours=12)  # after the end of a shift


def write_csv(file: pathlib.Path, options: dict[str, Any]) -> None:
    """Writes all shifts of `options`, as recipe.options makes them; raises OutputError."""
    with writing(file), whole_file(file) as unfinished:
        with open(unfinished, "w", newline="", encoding="utf8") as out:
            csv.writer(out).writerows(_rows(options))


def _rows(options: dict[str, Any]) -> Iterator[list[str]]:
    recipe.specs(options)  # checks the options
    names = recipe.columns(options)
    discrete = options["actions"] == "discrete" and not options["hide_actions"]
    powers = () if options["hide_actions"] else tanks.PUMPS
    yield ["time", "shift", *names, *(("setting",) if discrete else powers)]
    period = datetime.timedelta(seconds=tanks.PERIOD)
    moment = _BEGIN
    for number in range(options["episodes"]):
        played = recipe.shift(options, number)
        actions = recipe.actions_of(options, played.powers)
        for state, action in zip(recipe.state_of(options, played), actions, strict=True):
            cells = [f"{value:.9g}" for value in state]  # what a float32 needs
            if discrete:
                cells.append(recipe.SETTINGS[action])
            elif powers:
                cells += [f"{value:.9g}" for value in np.atleast_1d(action)]
            yield [moment.isoformat().replace("+00:00", "Z"), f"{number:03d}", *cells]
            moment += period
        moment += _BETWEEN


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(description="Writes the simulated plant as one CSV file.")
    parser.add_argument("--out", required=True, help="CSV file to write")
    recipe.add_arguments(parser)

    def command() -> None:
        args = parser.parse_args(argv)
        write_csv(pathlib.Path(args.out), recipe.options(args))
        print(f"{args.out}: written")

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
