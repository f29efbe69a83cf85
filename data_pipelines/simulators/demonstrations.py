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
        parser.add_argument(
            "--episodes",
            type=int,
            default=max(self.amounts.values()),
            help=f"demonstrations of each task; at most {collector.TRIES} times as many are played",
        )
        parser.add_argument(
            "--fast",
            action="store_true",
            help=f"a {FAST_SHARE:.0%}% share of the episodes, for smoke runs",
        )

    def plan_of(self, args: argparse.Namespace) -> dict[str, int]:
        names = [f"{task.strip()}_expert" for task in args.tasks.split(",")]
        for name in names:
            self._parts(name)
        if args.episodes < len(SPLITS) or len(set(names)) < len(names):
            raise DataError(
                f"--episodes={args.episodes} --tasks={args.tasks}: give each task once, and at "
                f"least {len(SPLITS)} episodes for {', '.join(SPLITS)}"
            )
        share = FAST_SHARE if args.fast else 1.0
        return dict.fromkeys(names, max(len(SPLITS), round(args.episodes * share)))

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
