"""`prepare libero-record`: demonstrations of LIBERO's tasks by a scripted expert, with its phases."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from data_pipelines.conversion.spool import list_episodes, read_episode
from data_pipelines.distractors.options import distraction
from data_pipelines.errors import DataError
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.processes import worker_pool
from data_pipelines.readers.recordings import Skipped
from data_pipelines.simulators.collector import Job
from data_pipelines.simulators.demonstrations import DemonstrationRecipe
from data_pipelines.simulators.libero import demo_files, package
from data_pipelines.simulators.libero.rendering import RENDERINGS
from data_pipelines.simulators.libero.simulator import SIMULATORS, Libero

EPISODES = 50  # of each task, as LIBERO's own demonstrations
SIZE = 128


class LiberoRecipe(DemonstrationRecipe):
    """A recipe whose tasks are chosen by suite, and which can write LIBERO's own files as well."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(size=SIZE)
        parser.add_argument(
            "--rendering",
            default="plain",
            choices=tuple(RENDERINGS),
            help="; ".join(f"{name}: {text}" for name, text in RENDERINGS.items()),
        )
        parser.add_argument(
            "--hdf5",
            default="",
            help="folder for <suite>/<task>_demo.hdf5 in LIBERO's layout as well, each "
            "demonstration played again to the bit",
        )

    def add_amounts(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--suites",
            default="libero_object",
            help=f"separated by commas; {', '.join(package.SUITES)}, and those of LIBERO-PRO: "
            f"<suite>_{', <suite>_'.join(package.PERTURBATIONS)}",
        )
        parser.add_argument(
            "--tasks",
            default="",
            help="numbers or names in the suites, or such as libero_object_0; default: all of them",
        )
        self.add_episodes(parser, EPISODES)

    def options(self, args: argparse.Namespace) -> dict[str, Any]:
        own = {"rendering": args.rendering, "hdf5": args.hdf5}
        options = super().options(args)
        if args.hdf5 and distraction(options):
            raise DataError("--hdf5 writes what LIBERO shows; leave out --distractor, or --hdf5")
        return options | own

    def chosen_tasks(self, args: argparse.Namespace) -> list[str]:
        """Raises DataError for suites and tasks that do not exist."""
        return chosen_tasks(_words(args.suites), _words(args.tasks))

    def _views(self, name: str, options: dict[str, Any]) -> dict[str, DatasetSpec]:
        facts = {"rendering": RENDERINGS[options["rendering"]], "gripper": "-1 opens, +1 closes"}
        return {
            camera: dataclasses.replace(spec, details=spec.details | facts)
            for camera, spec in super()._views(name, options).items()
        }

    def job(self, name: str, options: dict[str, Any], spool: pathlib.Path) -> Job:
        kind = SIMULATORS["recording", options["rendering"]]
        return dataclasses.replace(super().job(name, options, spool), simulator=kind)

    def collect(
        self,
        options: dict[str, Any],
        spool: pathlib.Path,
        workers: int,
        report: Callable[[int], None],
    ) -> list[Skipped]:
        skipped = super().collect(options, spool, workers, report)
        if options["hdf5"]:
            jobs = [self.job(name, options, spool) for name in options["plan"]]
            own = ("seed", "size", "codec", "cameras", "rendering")
            content = {key: options[key] for key in own}
            recorded = json.dumps(content | self.sources(options))
            with worker_pool(workers) as pool:
                written = [
                    pool.submit(_write_file, job, options["hdf5"], recorded)
                    for job in jobs
                    if list_episodes(job.folders()[0])
                ]
                for future in written:
                    future.result()
        return skipped


def chosen_tasks(suites: list[str], tasks: list[str]) -> list[str]:
    """Names "<suite>_<number>" of the tasks in the suites, by number or file name; [] is all. A name
    "<suite>_<number>" is that task, whatever the suites.

    Raises DataError for a suite or a task that does not exist, or is there twice.
    """
    known = package.suites()
    whole = [task for task in tasks if task.rpartition("_")[0] in known]
    others = [task for task in tasks if task not in whole]
    chosen, unknown = [], []
    for name in whole:
        suite, _, number = name.rpartition("_")
        count = len(package.task_names(suite))
        (chosen if number in map(str, range(count)) else unknown).append(name)
    for suite in suites if others or not tasks else ():
        names = package.task_names(suite)
        numbers = {str(number): number for number in range(len(names))}
        numbers |= {name: number for number, name in enumerate(names)}
        unknown += [f"{suite} {task}" for task in others if task not in numbers]
        chosen += [f"{suite}_{numbers[task]}" for task in others or names if task in numbers]
    if unknown or len(set(chosen)) < len(chosen) or not chosen:
        told = ", ".join(unknown) or ("one of them twice" if chosen else "none")
        raise DataError(
            f"--suites={','.join(suites)} --tasks={','.join(tasks)} name {told}; suites: "
            f"{', '.join(known)}; tasks by number from 0, by the name of their file, or "
            "as libero_object_0"
        )
    return chosen


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _write_file(job: Job, folder: str, recorded: str) -> None:
    """Task of one worker: the file of one task, unless it is there."""
    kind = cast("type[Libero]", job.simulator)
    facts = kind.tasks()[job.task].details
    path = pathlib.Path(folder) / facts["suite"] / f"{facts['task']}_demo.hdf5"
    recorded = json.dumps(json.loads(recorded) | {"demonstrations": job.demonstrations})
    if demo_files.already_written(path, recorded):
        return
    size = next(iter(job.views.values())).image_shape[0]
    with contextlib.closing(kind(size=size)) as simulator:
        demo_files.write_task(path, simulator, job.task, _recorded(job), recorded)


def _recorded(job: Job) -> Iterator[demo_files.Recorded]:
    """The episodes of a job, one at a time."""
    for number in list_episodes(job.folders()[0]):
        frames = {}
        for camera, spec in job.views.items():
            episode = read_episode(job.folder / spec.name, number)
            decode = get_codec(spec.codec).decode
            frames[camera] = np.stack([decode(data, spec.image_shape) for data in episode.frames])
        yield demo_files.Recorded(episode.action, episode.state, episode.metadata, frames)


RECIPE = LiberoRecipe(
    Libero, "LIBERO's tasks: demonstrations by a scripted expert, with their phases", {}
)
