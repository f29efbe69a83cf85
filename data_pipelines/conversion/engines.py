"""Who runs the two parallel stages of a build: processes of this machine, or an Apache Beam runner.

Both run the same two functions on the same jobs, and all results lie in the build's folder, so the
engine and the number of workers never change what is built.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from data_pipelines.conversion.units import UnitJob, convert_unit
from data_pipelines.errors import DataError
from data_pipelines.optional import require
from data_pipelines.conversion.shards import ShardJob, write_shard

LOCAL = "local"
STOP = ".stop"
Assemble = Callable[[], Sequence[ShardJob]]


def run_stages(
    folder: pathlib.Path,
    units: Sequence[UnitJob],
    assemble: Assemble,
    *,
    runner: str = LOCAL,
    workers: int = 2,
    beam_arguments: Sequence[str] = (),
) -> None:
    """convert_unit for every unit, then assemble() once, then write_shard for every job it returns.

    folder: the build's. runner: 'local', or the name of a Beam runner, which gets
    `beam_arguments`. A DataError of a stage comes out as one, on any engine.
    """
    if runner == LOCAL:
        _map(convert_unit, units, workers)
        _map(write_shard, assemble(), workers)
    else:
        pipeline = _beam_pipeline(runner, workers, beam_arguments)
        stop = folder / STOP
        stop.unlink(missing_ok=True)
        try:
            _run_beam(pipeline, units, assemble, stop)
        except Exception as error:  # each runner wraps errors in its own way
            if stop.exists():
                raise DataError(stop.read_text()) from error
            raise


def _map(function: Callable[[Any], None], jobs: Sequence[Any], workers: int) -> None:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            function(job)
        return
    # Fresh processes: forks of a process that runs threads (JAX, Grain, PyAV) may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@dataclasses.dataclass(frozen=True)
class _Reporting:
    """A stage for a remote worker: the text of a DataError is kept in a file for the driver."""

    function: Callable[..., Any]
    stop: pathlib.Path

    def __call__(self, *arguments):
        try:
            return self.function(*arguments)
        except DataError as error:
            self.stop.write_text(str(error))
            raise


def _beam_pipeline(runner: str, workers: int, arguments: Sequence[str]):
    beam = require("apache_beam")
    options = require("apache_beam.options.pipeline_options")
    _check_flags(options.PipelineOptions, arguments)
    try:
        return beam.Pipeline(options=options.PipelineOptions(beam_flags(runner, workers, arguments)))
    except (SystemExit, ValueError, ImportError, AttributeError) as error:
        raise DataError(
            f"Apache Beam does not accept --runner={runner} {' '.join(arguments)}: {error}"
        ) from error


def _check_flags(kind: type, arguments: Sequence[str]) -> None:
    """Raises DataError for flags that no part of Beam knows; Beam itself would drop them."""
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, conflict_handler="resolve", exit_on_error=False
    )
    for part in kind.__subclasses__():
        part._add_argparse_args(parser)  # how Beam's own parser and its extensions are made
    try:
        _, unknown = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise DataError(f"a flag for Apache Beam is wrong: {error}") from error
    if unknown:
        raise DataError(
            f"unknown arguments {' '.join(unknown)}: neither the dataset nor Apache Beam has them; "
            "see --help after the dataset's name"
        )


def _run_beam(pipeline, units: Sequence[UnitJob], assemble: Assemble, stop: pathlib.Path) -> None:
    beam = require("apache_beam")
    with pipeline:
        converted = (
            pipeline
            | "units" >> beam.Create(list(units))
            | "spread units" >> beam.Reshuffle()
            | "convert" >> beam.Map(_Reporting(convert_unit, stop))
            | "all converted" >> beam.combiners.Count.Globally()
        )
        shards = converted | "assemble" >> beam.FlatMap(_Reporting(_After(assemble), stop))
        _ = (
            shards
            | "spread shards" >> beam.Reshuffle()
            | "write" >> beam.Map(_Reporting(write_shard, stop))
        )


@dataclasses.dataclass(frozen=True)
class _After:
    """Calls a function of no arguments when its one element arrives."""

    function: Callable[[], Any]

    def __call__(self, element):
        del element
        return self.function()


def beam_flags(runner: str, workers: int, arguments: Sequence[str]) -> list[str]:
    """The pipeline's flags: DirectRunner gets `workers` processes unless the flags say otherwise."""
    flags = [f"--runner={runner}", *arguments]

    def given(name: str) -> bool:
        return any(flag.split("=")[0] == f"--{name}" for flag in arguments)

    if not given("default_sdk_harness_log_level"):
        flags.append("--default_sdk_harness_log_level=ERROR")
    if runner == "DirectRunner":
        if not given("direct_num_workers"):
            flags.append(f"--direct_num_workers={workers}")
        if not given("direct_running_mode"):
            mode = "multi_processing" if workers > 1 else "in_memory"
            flags.append(f"--direct_running_mode={mode}")
    return flags
