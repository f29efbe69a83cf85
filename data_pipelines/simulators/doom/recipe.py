"""`prepare doom`: collects ViZDoom episodes according to a plan of dataset -> transitions."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.processes import worker_pool
from data_pipelines.registry import Collected
from data_pipelines.simulators.doom.behaviours import BEHAVIOURS, split_name
from data_pipelines.simulators.doom.collector import collect_dataset
from data_pipelines.simulators.doom.game import FRAME_SKIP, TICS_PER_SECOND, import_vizdoom
from data_pipelines.simulators.doom.scenarios import SCENARIOS

DESCRIPTION = (
    "ViZDoom, 64x64 first-person video with true actions and states; collected, nothing to download"
)
# Random sticky play: a probe that sees only o_t stays near chance on it, which is what makes probes
# of latents telling.
# Experts stand beside it for policies and for what a code learns from skilled play.
DEFAULT_PLAN = {
    "health_gathering_sticky": 24000,
    "my_way_home_sticky": 3000,
    "defend_the_center_sticky": 3000,
    "health_gathering_noisy": 1500,
    "health_gathering_expert": 1500,
    "my_way_home_noisy": 500,
    "my_way_home_expert": 500,
    "defend_the_center_noisy": 500,
    "defend_the_center_expert": 500,
}
FAST_SHARE = 0.1


def add_arguments(parser) -> None:
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--plan",
        default=",".join(f"{name}={count}" for name, count in DEFAULT_PLAN.items()),
        help="transitions per <scenario>_<behaviour>; scenarios: "
        f"{', '.join(SCENARIOS)}; behaviours: {', '.join(BEHAVIOURS)}",
    )
    parser.add_argument(
        "--transitions", type=int, default=0, help="scale the plan to this total; 0 = as planned"
    )
    parser.add_argument(
        "--fast", action="store_true", help=f"a {FAST_SHARE:.0%} share of the plan, for smoke runs"
    )
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--codec", default="zstd", choices=("raw", "png", "jpeg", "zstd"))
    parser.add_argument("--clip-stride", type=int, default=8, help="transitions owned by a record")
    parser.add_argument(
        "--max-span", type=int, default=8, help="longest window, in frames minus one"
    )


def parse_plan(text: str) -> dict[str, int]:
    """'my_way_home_sticky=6000,...' -> {name: transitions}; raises DataError if it cannot."""
    plan = {}
    for part in text.split(","):
        name, _, count = part.strip().partition("=")
        split_name(name)
        if not count.isdigit() or int(count) < 1:
            raise DataError(f"--plan: {part!r} is not <scenario>_<behaviour>=<transitions>")
        plan[name] = int(count)
    return plan


def options(args) -> dict[str, Any]:
    plan = parse_plan(args.plan)
    total = sum(plan.values())
    if args.transitions < 0:
        raise DataError(f"--transitions is {args.transitions}; give a positive number")
    share = (args.transitions or total) / total * (FAST_SHARE if args.fast else 1.0)
    return {
        "seed": args.seed,
        "plan": {name: max(1, round(count * share)) for name, count in plan.items()},
        "size": args.size,
        "codec": args.codec,
        "clip_stride": args.clip_stride,
        "max_span": args.max_span,
    }


def expected_transitions(options: dict[str, Any]) -> int:
    return sum(options["plan"].values())


def make_spec(name: str, options: dict[str, Any]) -> DatasetSpec:
    """The spec of one <scenario>_<behaviour>."""
    scenario, behaviour = split_name(name)
    return DatasetSpec(
        name=name,
        image_shape=(options["size"], options["size"], 3),
        codec=options["codec"],
        action=ActionSpec("discrete", tuple(SCENARIOS[scenario].actions)),
        has_reward=True,
        state_names=SCENARIOS[scenario].state_names,
        behaviour=BEHAVIOURS[behaviour].description,
        frame_skip=FRAME_SKIP,
        fps=TICS_PER_SECOND / FRAME_SKIP,
        clip_stride=options["clip_stride"],
        max_span=options["max_span"],
        details={
            "scenario": scenario,
            "buttons": list(SCENARIOS[scenario].buttons),
            "presses": {key: list(value) for key, value in SCENARIOS[scenario].actions.items()},
            "max_steps": BEHAVIOURS[behaviour].max_steps,
            "skip_steps": BEHAVIOURS[behaviour].skip_steps,
            "rendering": "160x120 RGB, resized by area",
        },
    )


def collect(
    options: dict[str, Any], spool: pathlib.Path, report: Callable[[int], None]
) -> Collected:
    vizdoom = import_vizdoom()
    workers = options["workers"]
    collected = Collected(
        specs=[], sources={"simulator": "vizdoom", "version": vizdoom.__version__}
    )
    with worker_pool(workers) as pool:
        for name, transitions in options["plan"].items():
            spec = make_spec(name, options)
            collected.skipped_items += collect_dataset(
                spec,
                spool / name,
                transitions=transitions,
                seed=options["seed"],
                pool=pool,
                ahead=2 * workers,
                report=report,
            )
            collected.specs.append(spec)
    return collected
