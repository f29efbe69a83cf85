"""Who runs the two parallel stages of a build: processes of this machine, or an Apache Beam runner.

Both run the same two functions on the same jobs, and all results lie in the build's folder, so the
engine and the number of workers never change what is built.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import logging
import os
import pathlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_pipelines.conversion.bundles import BundleJob, convert_bundle
from data_pipelines.conversion.output import OutputError
from data_pipelines.conversion.shards import ShardJob, write_shard
from data_pipelines.errors import DataError
from data_pipelines.optional import require
from data_pipelines.processes import end_with, worker_pool

LOCAL = "local"
STOP = ".stop"
Assemble = Callable[[], Sequence[ShardJob]]


@dataclasses.dataclass(frozen=True)
class Engine:
    """How a build runs; never what it builds.

    runner: 'local' or the name of a Beam runner. verbose: show what Beam and its workers print.
    """

    runner: str = LOCAL
    workers: int = 1
    beam_arguments: tuple[str, ...] = ()
    verbose: bool = False

    def check(self) -> None:
        """Raises DataError for a number of workers, a runner or flags that cannot be used."""
        most = max(16, 4 * (os.cpu_count() or 1))
        if not 1 <= self.workers <= most:
            raise DataError(
                f"--workers is {self.workers}; use 1 to {most} (four for each processor of this "
                "machine)"
            )
        if self.runner != LOCAL:
            with _quiet(self.verbose):
                _beam_pipeline(self)
        elif self.beam_arguments:
            raise DataError(
                f"unknown arguments {' '.join(self.beam_arguments)}; see --help after the "
                "dataset's name (flags for Apache Beam need --runner)"
            )


def run_stages(
    folder: pathlib.Path,
    bundles: Sequence[BundleJob],
    assemble: Assemble,
    engine: Engine,
) -> None:
    """convert_bundle for every one, then assemble() once, then write_shard for every job it
    returns.

    folder: the build's. A DataError of a stage comes out as one, on any engine; whatever else a
    Beam runner raises is a DataError that tells its last line.
    """
    if engine.runner == LOCAL:
        _map(convert_bundle, bundles, engine.workers)
        _map(write_shard, assemble(), engine.workers)
        return
    stop = folder / STOP
    stop.unlink(missing_ok=True)
    with _quiet(engine.verbose), _silent_workers(engine.verbose):
        try:
            _run_beam(engine, bundles, assemble, stop)
        except Exception as error:  # each runner wraps errors in its own way
            raise _beam_error(engine.runner, stop, error) from error


def _map(function: Callable[[Any], None], jobs: Sequence[Any], workers: int) -> None:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            function(job)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            future.result()


@dataclasses.dataclass(frozen=True)
class _Reporting:
    """A stage for a remote worker: what a DataError says is kept in a file for the driver.

    driver: its process, where that is on the same machine as the workers; they end with it.
    """

    function: Callable[..., Any]
    stop: pathlib.Path
    driver: int | None

    def __call__(self, *arguments):
        if self.driver is not None:
            end_with(self.driver)
        try:
            return self.function(*arguments)
        except DataError as error:
            with contextlib.suppress(OSError):  # the disk may be what is full
                self.stop.write_text(json.dumps([isinstance(error, OutputError), str(error)]))
            raise


def _beam_error(runner: str, stop: pathlib.Path, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    with contextlib.suppress(OSError, ValueError):
        output, text = json.loads(stop.read_text())
        return OutputError(text) if output else DataError(text)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[-1] if lines else type(error).__name__
    return DataError(f"{runner} failed: {told}; --verbose shows the whole story")


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Beam warns of optional packages that nobody asked for."""
    if verbose:
        yield
        return
    names = ("apache_beam", "apitools", "google")
    root, before = logging.getLogger(), logging.getLogger().level
    levels = {name: logging.getLogger(name).level for name in names}
    root.setLevel(logging.ERROR)
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(before)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _silent_workers(verbose: bool) -> Iterator[None]:
    """Beam's worker processes inherit the standard error and fill it; ours goes on beside it."""
    if verbose or sys.stderr is None:
        yield
        return
    with (
        open(os.devnull, "w") as null,
        open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1) as ours,
        contextlib.redirect_stderr(ours),
    ):
        os.dup2(null.fileno(), 2)
        # What ends a thread of Beam ends its pipeline too, which tells it once more.
        before, threading.excepthook = threading.excepthook, lambda fault: None
        try:
            yield
        finally:
            threading.excepthook = before
            os.dup2(ours.fileno(), 2)


def _beam_pipeline(engine: Engine):
    runner, arguments = engine.runner, engine.beam_arguments
    beam = require("apache_beam")
    options = require("apache_beam.options.pipeline_options")
    _check_flags(options.PipelineOptions, arguments)
    try:
        return beam.Pipeline(options=options.PipelineOptions(beam_flags(engine)))
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


def _run_beam(
    engine: Engine, bundles: Sequence[BundleJob], assemble: Assemble, stop: pathlib.Path
) -> None:
    beam = require("apache_beam")
    driver = os.getpid() if engine.runner == "DirectRunner" else None
    reporting = functools.partial(_Reporting, stop=stop, driver=driver)
    with _beam_pipeline(engine) as pipeline:
        converted = (
            pipeline
            | "bundles" >> beam.Create(list(bundles))
            | "spread bundles" >> beam.Reshuffle()
            | "convert" >> beam.Map(reporting(convert_bundle))
            | "all converted" >> beam.combiners.Count.Globally()
        )
        shards = converted | "assemble" >> beam.FlatMap(reporting(_After(assemble)))
        _ = (
            shards
            | "spread shards" >> beam.Reshuffle()
            | "write" >> beam.Map(reporting(write_shard))
        )


@dataclasses.dataclass(frozen=True)
class _After:
    """Calls a function of no arguments when its one element arrives."""

    function: Callable[[], Any]

    def __call__(self, element):
        del element
        return self.function()


def beam_flags(engine: Engine) -> list[str]:
    """The pipeline's flags: DirectRunner gets `workers` processes unless they say otherwise."""
    arguments = engine.beam_arguments
    flags = [f"--runner={engine.runner}", *arguments]

    def given(name: str) -> bool:
        return any(flag.split("=")[0] == f"--{name}" for flag in arguments)

    if not given("default_sdk_harness_log_level"):
        flags.append("--default_sdk_harness_log_level=ERROR")
    if engine.runner == "DirectRunner":
        if not given("direct_num_workers"):
            flags.append(f"--direct_num_workers={engine.workers}")
        if not given("direct_running_mode"):
            mode = "multi_processing" if engine.workers > 1 else "in_memory"
            flags.append(f"--direct_running_mode={mode}")
    return flags
