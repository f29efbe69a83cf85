"""`prepare plant`: levels of three tanks, whose operator's actions and disturbances are known.

Needs no simulator. The observation is a vector (format/vectors.py). What the operator did is the
label `action`; with --hide-actions nobody logged it, and the powers of the pumps are columns of the
state that no model observes. The disturbances are columns of the state in any case, exogenous, and
observed only with --measure-disturbances.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import list_episodes, write_episode
from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.format.vectors import SPEC_FIELDS, placeholders, vector_details
from data_pipelines.option_ranges import check_ranges
from data_pipelines.readers.recordings import Skipped
from data_pipelines.simulators.plant import tanks
from data_pipelines.simulators.plant.tanks import Settings, Shift

DESCRIPTION = "three tanks, two pumps and flows nobody controls: vectors, no pictures, no simulator"
NAME = "tanks"
WORDS = {0.0: "off", 0.5: "half", 1.0: "full"}
SETTINGS = tuple(f"{WORDS[a]}_{WORDS[b]}" for a in tanks.POWERS for b in tanks.POWERS)
_RANGES = {
    "disturbance": (0, 100),
    "correlation": (1, 1_000_000),
    "reaction": (0, 1),
    "sensor_noise": (0, 1),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    known = Settings()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=40, help="shifts of an operator")
    parser.add_argument("--length", type=int, default=1000, help=f"rows, {tanks.PERIOD:g} s apart")
    parser.add_argument(
        "--actions",
        default="discrete",
        choices=("discrete", "continuous"),
        help="nine settings of two switches, or two powers from 0 to 1",
    )
    parser.add_argument(
        "--disturbance",
        type=float,
        default=known.disturbance,
        help="factor of the standard deviations of demand and inflow",
    )
    parser.add_argument(
        "--correlation",
        type=float,
        default=known.correlation,
        help="seconds over which disturbances are alike",
    )
    parser.add_argument(
        "--reaction",
        type=float,
        default=known.reaction,
        help="share of the operator's decisions that follow the levels; the others are random",
    )
    parser.add_argument(
        "--sensor-noise",
        type=float,
        default=known.sensor_noise,
        help="standard deviation of a measured level, m",
    )
    parser.add_argument(
        "--measure-disturbances", action="store_true", help="demand and inflow are observed too"
    )
    parser.add_argument(
        "--hide-actions",
        action="store_true",
        help="nobody logged the actions: powers are columns of the state that are not observed",
    )
    parser.add_argument(
        "--clip-stride", type=int, default=128, help="transitions owned by a record"
    )
    parser.add_argument(
        "--max-span", type=int, default=32, help="longest window, in rows minus one"
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("seed", "episodes", "length", "actions", *_RANGES)
    flags = ("measure_disturbances", "hide_actions", "clip_stride", "max_span")
    return {name: getattr(args, name) for name in (*names, *flags)}


def settings_of(options: dict[str, Any]) -> Settings:
    """How the plant is run; raises DataError for a number that makes no sense."""
    check_ranges(options, _RANGES)
    chosen = {name: options[name] for name in _RANGES}
    return Settings(switched=options["actions"] == "discrete", **chosen)


def shift(options: dict[str, Any], number: int) -> Shift:
    """One episode: a function of the seed and its number."""
    rng = np.random.default_rng([options["seed"], number])
    return tanks.simulate(rng, options["length"], settings_of(options))


def actions_of(options: dict[str, Any], powers: np.ndarray) -> np.ndarray:
    """Powers (N, 2) as the operator's actions: int32 (N,) numbers of SETTINGS, or float32 (N, 2)."""
    if options["actions"] == "continuous":
        return powers.astype(np.float32)
    places = np.round(powers * (len(tanks.POWERS) - 1)).astype(np.int32)
    return places[:, 0] * len(tanks.POWERS) + places[:, 1]


def state_of(options: dict[str, Any], shift: Shift) -> np.ndarray:
    """float32 (N, S), in the order of `columns`."""
    parts = [shift.levels, shift.disturbances]
    parts += [shift.powers] if options["hide_actions"] else []
    return np.concatenate(parts, axis=1).astype(np.float32)


def columns(options: dict[str, Any]) -> tuple[str, ...]:
    hidden = tanks.PUMPS if options["hide_actions"] else ()
    return (*tanks.LEVELS, *tanks.DISTURBANCES, *hidden)


def observed(options: dict[str, Any]) -> tuple[str, ...]:
    """The columns that a model may see."""
    return (*tanks.LEVELS, *(tanks.DISTURBANCES if options["measure_disturbances"] else ()))


def action_spec(options: dict[str, Any]) -> ActionSpec:
    if options["actions"] == "discrete":
        return ActionSpec("discrete", SETTINGS)
    return ActionSpec("continuous", tanks.PUMPS, 0.0, 1.0)


def specs(options: dict[str, Any]) -> list[DatasetSpec]:
    settings = settings_of(options)
    if options["episodes"] < len(SPLITS):
        raise DataError(
            f"dataset {NAME} has {options['episodes']} episodes; three are needed for "
            f"{', '.join(SPLITS)}. Raise --episodes"
        )
    units = {"level": "m", "demand": "l/s", "inflow": "l/s", "pump": "share of full power"}
    return [
        DatasetSpec(
            name=NAME,
            action=None if options["hide_actions"] else action_spec(options),
            state_names=columns(options),
            exogenous_state=tanks.DISTURBANCES,
            behaviour=f"an operator; {settings.reaction:.0%} of the decisions follow the levels",
            fps=1 / tanks.PERIOD,
            clip_stride=options["clip_stride"],
            max_span=options["max_span"],
            details=vector_details(observed(options)) | {"units": units},
            **SPEC_FIELDS,
        )
    ]


def sources(options: dict[str, Any]) -> dict[str, Any]:
    del options
    return {"generator": "data_pipelines.simulators.plant"}


def expected_transitions(options: dict[str, Any]) -> int:
    return options["episodes"] * (options["length"] - 1)


def collect(
    options: dict[str, Any], spool: pathlib.Path, workers: int, report: Callable[[int], None]
) -> Sequence[Skipped]:
    del workers  # one does it in seconds
    (spec,) = specs(options)
    done = set(list_episodes(spool / NAME))
    for number in range(options["episodes"]):
        report(options["length"] - 1)
        if number in done:
            continue
        played = shift(options, number)
        write_episode(
            spool / NAME,
            spec,
            number,
            placeholders(options["length"]),
            action=None if spec.action is None else actions_of(options, played.powers)[:-1],
            state=state_of(options, played),
            source=f"seed {options['seed']}/{number}",
        )
    return []
