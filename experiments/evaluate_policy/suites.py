"""What is played: the tasks of a suite, and the protocol by which success is measured there.

LIBERO has protocols that are in use elsewhere; other simulators play their tasks as they are, by
the protocol PLAIN.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.simulators.libero import package
from data_pipelines.simulators.libero.protocols import PROTOCOLS, find_protocol
from data_pipelines.simulators.libero.simulator import SIMULATORS
from data_pipelines.simulators.simulator import Simulator, TaskSpec
from experiments.played_tasks import simulator_of, tasks_of
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.rollouts import SEEDS_OF_A_RUN, episode_seeds

PLAIN = "plain"
EPISODES = 20  # of a task by PLAIN
# Suites that are not called as what `prepare` makes of their simulator.
_MODULES = {"metaworld": "data_pipelines.simulators.metaworld.simulator"}
_PLAIN = {
    "name": PLAIN,
    "source": "this package",
    "episodes": EPISODES,
    "start": "the simulator's own, by the seed of the episode",
    "horizon": "the max_steps of the task, or where the simulator ends the episode",
    "text": "the simulator's instruction",
}


@dataclasses.dataclass(frozen=True)
class Suite:
    """simulator: that plays. tasks: name -> spec. protocol: JSON-able, with the number of `episodes`
    of a task. numbered: whether the seed of an episode is its number in the protocol. distinct: how
    many of a task differ, where they begin from stored states; 0: all.
    """

    simulator: type[Simulator]
    tasks: Mapping[str, TaskSpec]
    protocol: Mapping[str, Any]
    numbered: bool = False
    distinct: int = 0

    def seeds(self, seed: int, count: int) -> list[int]:
        """Of the first `count` episodes of a task. Raises UserError for more than there are."""
        if self.distinct and count > self.distinct:
            raise UserError(
                f"--episodes={count}: the protocol {self.protocol['name']} begins from "
                f"{self.distinct} stored states, after which episodes are the same again; give at "
                "most so many"
            )
        seeds = episode_seeds(seed, count)
        if not self.numbered:
            return seeds
        return [(SEEDS_OF_A_RUN * seed + number) % 2**32 for number in range(count)]


def open_suite(
    name: str,
    protocol: str,
    tasks: Sequence[str],
    *,
    rendering: str = "",
    perturbation: str = "",
) -> Suite:
    """A suite by name: those of LIBERO, or a simulator as `experiments.rollout` names them.

    Args:
      protocol: "" is PLAIN, where there is only that.
      tasks: of the suite; LIBERO's also by number or file name. () are all, or its `suite`.
      rendering, perturbation: of LIBERO only; see libero/rendering.py and LIBERO-PRO.

    Raises:
      DataError: a package that is missing, a task or protocol that does not exist.
      UserError: a simulator that does not say whether tasks are solved, options that it has not.
    """
    if name in package.SUITES:
        return _libero(name, protocol, tasks, rendering or "plain", perturbation)
    given = {"--perturbation": perturbation, "--rendering": rendering}
    for flag, value in given.items():
        if value:
            raise UserError(f"{flag}={value} is for {', '.join(package.SUITES)}, not for {name}")
    if protocol not in ("", PLAIN):
        raise UserError(
            f"--protocol={protocol}: {name} has the protocol {PLAIN} only; {', '.join(PROTOCOLS)} "
            f"are those of {', '.join(package.SUITES)}"
        )
    simulator = simulator_of(_MODULES.get(name, name), "--suite")
    if simulator.success is Simulator.success:
        raise UserError(
            f"--suite={name}: {simulator.__name__} does not say whether a task is solved; "
            "experiments.rollout measures returns"
        )
    return Suite(simulator, tasks_of(simulator, tasks or ["suite"]), _PLAIN)


def _libero(
    name: str, protocol: str, tasks: Sequence[str], rendering: str, perturbation: str
) -> Suite:
    if not protocol or protocol == PLAIN:
        raise UserError(
            f"--suite={name} is measured by protocols that differ; give --protocol, one of "
            f"{', '.join(PROTOCOLS)}"
        )
    measured = find_protocol(protocol)
    simulator = SIMULATORS[measured.name, rendering]
    there = package.suites()
    played = f"{name}_{perturbation}" if perturbation else name
    if played not in there:
        perturbed = [other for other in there if package.base_suite(other) != other]
        raise UserError(
            f"--perturbation={perturbation}: the installed LIBERO has no suite {played}; perturbed "
            f"ones: {', '.join(perturbed) or 'none'}; run `{package.INSTALL}`"
        )
    facts = measured.to_json() | {
        "suite": played,
        "perturbation": perturbation or "none",
        "rendering": simulator.rendering,
        "shown_orientation": "upright",
    }
    if perturbation:
        facts["text"] = "bddl"  # their file names are those of the suite as it was
    chosen = _libero_tasks(simulator, played, tasks)
    distinct = 0
    if measured.fixed_states and measured.env_seed is not None:
        files = (spec.details["task"] for spec in chosen.values())
        distinct = min(len(package.stored_states(played, file)) for file in files)
    return Suite(simulator, chosen, facts, numbered=True, distinct=distinct)


def _libero_tasks(
    simulator: type[Simulator], suite: str, wanted: Sequence[str]
) -> dict[str, TaskSpec]:
    """By name, number or file name. Raises UserError listing those of the suite."""
    known = {n: spec for n, spec in simulator.tasks().items() if spec.details["suite"] == suite}
    names = {str(spec.details["index"]): n for n, spec in known.items()}
    names |= {spec.details["task"]: n for n, spec in known.items()} | {n: n for n in known}
    unknown = [task for task in wanted if task not in names]
    if unknown:
        raise UserError(
            f"--tasks: {suite} has no {', '.join(unknown)}; it has the numbers 0 to "
            f"{len(known) - 1}: {', '.join(spec.details['task'] for spec in known.values())}"
        )
    return {names[task]: known[names[task]] for task in wanted or known}
