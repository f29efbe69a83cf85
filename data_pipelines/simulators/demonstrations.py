"""The dataset of a simulator's scripted expert: so many solved episodes of each task.

Episodes that the expert did not solve are left out and listed; the manifest's `success_rates` says
how many there were of each task.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import Any

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.success_rates import SOLVED_ONLY
from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.simulators import collector
from data_pipelines.simulators.recipe import FAST_SHARE, SimulatorRecipe


class DemonstrationRecipe(SimulatorRecipe):
    """A recipe that counts solved episodes; `amounts` holds them by <task>_expert."""

    def add_amounts(self, parser: argparse.ArgumentParser) -> None:
        tasks = [self._parts(name)[0] for name in self.amounts]
        parser.add_argument(
            "--tasks", default=",".join(tasks), help="tasks to record, separated by commas"
        )
        self.add_episodes(parser, max(self.amounts.values()))

    @staticmethod
    def add_episodes(parser: argparse.ArgumentParser, default: int) -> None:
        """The options of how many episodes of a task."""
        parser.add_argument(
            "--episodes",
            type=int,
            default=default,
            help=f"demonstrations of each task; at most {collector.TRIES} times as many are played",
        )
        parser.add_argument(
            "--fast",
            action="store_true",
            help=f"a {FAST_SHARE:.0%}% share of the episodes, for smoke runs",
        )

    def plan_of(self, args: argparse.Namespace) -> dict[str, int]:
        tasks = self.chosen_tasks(args)
        if args.episodes < len(SPLITS):
            raise DataError(
                f"--episodes={args.episodes}: give at least {len(SPLITS)} for {', '.join(SPLITS)}"
            )
        share = FAST_SHARE if args.fast else 1.0
        episodes = max(len(SPLITS), round(args.episodes * share))
        return {f"{task}_expert": episodes for task in tasks}

    def chosen_tasks(self, args: argparse.Namespace) -> list[str]:
        """Names of the tasks to record; raises DataError for one that does not exist, or is there
        twice."""
        tasks = [task.strip() for task in args.tasks.split(",")]
        for task in tasks:
            self._parts(f"{task}_expert")
        if len(set(tasks)) < len(tasks):
            raise DataError(f"--tasks={args.tasks}: give each task once")
        return tasks

    def expected_transitions(self, options: dict[str, Any]) -> None:
        """Nobody knows how long it takes to solve a task."""

    def _views(self, name: str, options: dict[str, Any]) -> dict[str, DatasetSpec]:
        return {
            camera: dataclasses.replace(spec, details=spec.details | SOLVED_ONLY)
            for camera, spec in super()._views(name, options).items()
        }

    def job(self, name: str, options: dict[str, Any], spool: pathlib.Path) -> collector.Job:
        return dataclasses.replace(
            super().job(name, options, spool),
            transitions=0,
            demonstrations=options["plan"][name],
        )
