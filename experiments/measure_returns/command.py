"""Measures what behaviours of a simulator earn, and writes a page with the numbers as JSON beside it.

    python -m experiments.measure_returns --simulator=doom_suite --episodes=100 \\
        --out=docs/results/doom_suite.md

The means of `random` and `expert` are what a simulator's TaskSpecs state as the returns that score
0 and 1. All behaviours play episodes of the same seeds, to the end or to the task's max_steps. What
stands in the page above the line of the command stays as it is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.returns import play_behaviours
from data_pipelines.simulators.simulator import Simulator
from experiments import lam_inputs, provenance
from experiments.measure_returns.summary import FORMAT, page, summarise
from experiments.played_tasks import simulator_of, tasks_of
from experiments.progress_bar import progress
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.rollouts import episode_seeds
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.reports.results import plain

_SIMULATOR = flags.DEFINE_string("simulator", "doom_suite", "Dataset of prepare that is played.")
_TASKS = flags.DEFINE_list("tasks", [], "Tasks, or suite; default all of the simulator.")
_BEHAVIOURS = flags.DEFINE_list(
    "behaviours", ["random", "expert", "noisy", "sticky"], "Who plays, each by itself."
)
_EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per task and behaviour.", lower_bound=2)
_SEED = lam_inputs.define_seed("Seed of the episodes.")
_WORKERS = flags.DEFINE_integer(
    "workers", 2, "Processes of simulators; they change nothing but the speed.", lower_bound=1
)
_OUT = flags.DEFINE_string("out", None, "Page to write (*.md); its numbers go to *.json.")
flags.mark_flag_as_required("out")


def main(argv: Sequence[str]) -> None:
    del argv
    path = _page_path(lam_inputs.text(_OUT))
    simulator = simulator_of(_SIMULATOR.value)
    tasks = tasks_of(simulator, lam_inputs.listed(_TASKS) or list(simulator.tasks()))
    behaviours = _behaviours(simulator, lam_inputs.listed(_BEHAVIOURS))
    sources = simulator.sources()  # that it is installed
    seeds = episode_seeds(_SEED.value, _EPISODES.value)
    tick = progress("episodes", len(behaviours) * len(tasks) * len(seeds))
    played = play_behaviours(
        simulator, list(behaviours), list(tasks), seeds, workers=_WORKERS.value, report=tick
    )
    report: dict[str, Any] = {
        "format": FORMAT,
        **provenance.made_by("experiments.measure_returns"),
        "simulator": sources,
        "seed": _SEED.value,
        "behaviours": behaviours,
        "tasks": summarise(list(tasks), list(behaviours), played),
    }
    _write(path, report)
    print(f"{path}\n{path.with_suffix('.json')}")


def _page_path(name: str) -> Path:
    """Where the page goes, before minutes of playing. Raises UserError if it cannot be written."""
    path = Path(name).expanduser()
    if path.suffix != ".md":
        raise UserError(
            f"--out={name} is no page; give a file *.md, beside which *.json is written"
        )
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            pass
    return path


def _behaviours(simulator: type[Simulator], names: Sequence[str]) -> dict[str, str]:
    """Name -> what it does. Raises UserError for one that does not exist."""
    unknown = [name for name in names if name not in BEHAVIOURS]
    if unknown:
        raise UserError(
            f"--behaviours: unknown {', '.join(unknown)}; known: {', '.join(BEHAVIOURS)}"
        )
    return {
        name: BEHAVIOURS[name].description.format(noise=simulator.noisy_share) for name in names
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    with writing_to(path):
        text = path.read_text()
    write_atomically(path, page(report, text or f"# Returns: {_SIMULATOR.value}"))
    numbers = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
    write_atomically(path.with_suffix(".json"), numbers)
