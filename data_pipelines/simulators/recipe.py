"""The dataset that playing a simulator makes: every simulator's recipe; see registry.py."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from data_pipelines.distractors import options as distractor_options
from data_pipelines.distractors.options import distraction
from data_pipelines.errors import DataError
from data_pipelines.format.codecs import CODECS, get_codec
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.cameras import parse_cameras
from data_pipelines.readers.recordings import Skipped
from data_pipelines.simulators import collector
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.simulator import Simulator, find_task
from data_pipelines.simulators.streams import (
    check_actions,
    check_distraction,
    recorded_maps,
    stream_datasets,
)

FAST_SHARE = 0.1


def recipe_of(simulator: type[Simulator], amounts: Mapping[str, int]) -> SimulatorRecipe:
    """A simulator's recipe: `RECIPE = recipe_of(MySimulator, {"my-task_random": 3000})` at the end
    of its module, and `prepare my_lab.my_module --out=...` works.

    amounts: transitions to collect of each <task>_<behaviour>, unless --plan says otherwise.
    """
    description = (inspect.getdoc(simulator) or simulator.__name__).splitlines()[0]
    return SimulatorRecipe(simulator, description, dict(amounts))


@dataclasses.dataclass(frozen=True)
class SimulatorRecipe:
    """The functions that `prepare` calls, for one simulator.

    amounts: transitions by <task>_<behaviour>. views: cameras that are recorded unless --cameras
    says otherwise; () = all.
    """

    simulator: type[Simulator]
    DESCRIPTION: str
    amounts: dict[str, int]
    views: tuple[str, ...] = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=0)
        self.add_amounts(parser)
        parser.add_argument("--size", type=int, default=64, help="pixels of a side")
        parser.add_argument("--codec", default="zstd", choices=tuple(CODECS))
        parser.add_argument(
            "--clip-stride", type=int, default=8, help="transitions owned by a record"
        )
        parser.add_argument(
            "--max-span", type=int, default=8, help="longest window, in frames minus one"
        )
        if len(self.simulator.cameras) > 1:
            parser.add_argument(
                "--cameras",
                default=",".join(self.views or self.simulator.cameras),
                help="views to record, separated by commas; one dataset each",
            )
        if self.simulator.maps:
            parser.add_argument(
                "--maps",
                default="",
                help="what the renderer knows of each pixel, recorded beside the frames, separated by "
                f"commas; one dataset <name>_<map> each: {', '.join(self.simulator.maps)}",
            )
        distractor_options.add_arguments(parser)

    def add_amounts(self, parser: argparse.ArgumentParser) -> None:
        """The options of how much is played."""
        parser.add_argument(
            "--plan",
            default=",".join(f"{name}={count}" for name, count in self.amounts.items()),
            help=f"transitions per <task>_<behaviour>; behaviours: {', '.join(BEHAVIOURS)}",
        )
        self.add_scale(parser)

    @staticmethod
    def add_scale(parser: argparse.ArgumentParser) -> None:
        """The options that `scaled` reads."""
        parser.add_argument(
            "--transitions",
            type=int,
            default=0,
            help="scale the plan to this total; 0 = as planned",
        )
        parser.add_argument(
            "--fast",
            action="store_true",
            help=f"a {FAST_SHARE:.0%}% share of the plan, for smoke runs",
        )

    def options(self, args: argparse.Namespace) -> dict[str, Any]:
        """Raises DataError for a plan, a share, cameras or distractors that make no sense."""
        options = {
            "seed": args.seed,
            "plan": self.plan_of(args),
            "size": args.size,
            "codec": args.codec,
            "clip_stride": args.clip_stride,
            "max_span": args.max_span,
        }
        if len(self.simulator.cameras) > 1:
            options["cameras"] = parse_cameras(args.cameras, self.simulator.cameras)
        # Folders of options that were not there yet stay as they were.
        if self.simulator.maps and args.maps:
            options["maps"] = parse_cameras(args.maps, self.simulator.maps, "--maps")
        options |= distractor_options.options(args)
        added = distraction(options)
        check_distraction(self.simulator, self._cameras(options), self._maps(options), added)
        for name in options["plan"] if added else ():
            check_actions(find_task(self.simulator, self._parts(name)[0]).action, added, name)
        return options

    def _cameras(self, options: dict[str, Any]) -> list[str]:
        return options.get("cameras", list(self.simulator.cameras))

    def _maps(self, options: dict[str, Any]) -> list[str]:
        return recorded_maps(self.simulator, options.get("maps", ()), distraction(options))

    def plan_of(self, args: argparse.Namespace) -> dict[str, int]:
        """How much is played of each <task>_<behaviour>; raises DataError as `options`."""
        return self.scaled(self._amounts(args.plan), args)

    @staticmethod
    def scaled(amounts: Mapping[str, int], args: argparse.Namespace) -> dict[str, int]:
        """A plan as large as the options of `add_scale` say; raises DataError as `options`."""
        total = sum(amounts.values())
        if args.transitions < 0:
            raise DataError(f"--transitions is {args.transitions}; give a positive number")
        share = (args.transitions or total) / total * (FAST_SHARE if args.fast else 1.0)
        return {name: max(1, round(count * share)) for name, count in amounts.items()}

    def _amounts(self, text: str) -> dict[str, int]:
        """'my_way_home_sticky=6000,...' -> {name: transitions}; raises DataError if it cannot."""
        amounts = {}
        for part in text.split(","):
            name, _, count = part.strip().partition("=")
            self._parts(name)
            if not count.isdigit() or int(count) < 1:
                raise DataError(f"--plan: {part!r} is not <task>_<behaviour>=<transitions>")
            amounts[name] = int(count)
        return amounts

    def _parts(self, name: str) -> tuple[str, str]:
        """'my_way_home_sticky' -> ('my_way_home', 'sticky'); raises DataError listing what exists."""
        task, _, behaviour = name.rpartition("_")
        tasks = self.simulator.tasks()
        if task not in tasks or behaviour not in BEHAVIOURS:
            raise DataError(
                f"{self.simulator.__name__}: unknown dataset {name!r}; names are "
                f"<task>_<behaviour> with task one of {', '.join(tasks)} and behaviour one of "
                f"{', '.join(BEHAVIOURS)}"
            )
        if BEHAVIOURS[behaviour].ground_truth and self.simulator.expert is Simulator.expert:
            blind = [key for key, known in BEHAVIOURS.items() if not known.ground_truth]
            raise DataError(
                f"{name}: {self.simulator.__name__} has no scripted expert; behaviours without one: "
                f"{', '.join(blind)}"
            )
        return task, behaviour

    def expected_transitions(self, options: dict[str, Any]) -> int | None:
        return sum(options["plan"].values())

    def sources(self, options: dict[str, Any]) -> dict[str, Any]:
        del options
        return self.simulator.sources()

    def specs(self, options: dict[str, Any]) -> list[DatasetSpec]:
        return [spec for name in options["plan"] for spec in self._views(name, options).values()]

    def _views(self, name: str, options: dict[str, Any]) -> dict[str, DatasetSpec]:
        """Key of a stream -> spec of its dataset, for one <task>_<behaviour>."""
        task_name, behaviour_name = self._parts(name)
        task, behaviour = find_task(self.simulator, task_name), BEHAVIOURS[behaviour_name]
        rendering = self.simulator.rendering
        maps, added = self._maps(options), distraction(options)
        streams = stream_datasets(name, self._cameras(options), maps, added)
        lossless = options["codec"] if get_codec(options["codec"]).lossless else "zstd"
        exogenous = added.columns if added else ()
        return {
            stream.key: DatasetSpec(
                name=dataset,
                image_shape=(options["size"], options["size"], 1 if stream.camera in maps else 3),
                codec=lossless if stream.camera in maps else options["codec"],
                action=task.action,
                has_reward=True,
                state_names=task.state_names + exogenous,
                behaviour=behaviour.description.format(noise=self.simulator.noisy_share),
                frame_skip=task.frame_skip,
                fps=task.fps,
                camera=stream.camera if len(self.simulator.cameras) > 1 or maps else "",
                recording=name if len(streams) > 1 else "",
                exogenous=stream.world,
                exogenous_state=exogenous,
                clip_stride=options["clip_stride"],
                max_span=options["max_span"],
                details={
                    **task.details,
                    "max_steps": behaviour.max_steps,
                    "skip_steps": behaviour.skip_steps,
                    **({"rendering": rendering} if rendering else {}),
                    **({"distractor": added.facts()} if added else {}),
                },
            )
            for stream, dataset in streams.items()
        }

    def collect(
        self,
        options: dict[str, Any],
        spool: pathlib.Path,
        workers: int,
        report: Callable[[int], None],
    ) -> list[Skipped]:
        jobs = [self.job(name, options, spool) for name in options["plan"]]
        return collector.collect(jobs, workers=workers, report=report)

    def job(self, name: str, options: dict[str, Any], spool: pathlib.Path) -> collector.Job:
        """What is played of one <task>_<behaviour>."""
        return collector.Job(
            self.simulator,
            name,
            *self._parts(name),
            views=self._views(name, options),
            folder=spool,
            seed=options["seed"],
            transitions=options["plan"][name],
            added=distraction(options),
        )
