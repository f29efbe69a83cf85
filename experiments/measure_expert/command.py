"""Measures what a simulator's scripted expert solves, and whether its actions give that again.

    python -m experiments.measure_expert --simulator=libero-record \\
        --tasks='libero_object_[0-9],libero_10_0' --episodes=10 --workers=2 --out=runs/expert

An episode per seed of every task, nothing drawn unless the expert looks. Solved ones are played
again by their actions in a new simulator, in the other order: states must be equal to the bit. Killed,
the same command goes on after the last finished task; more tasks or episodes add to what is there.
results.md and results.json come at the end, in --out.
"""

import concurrent.futures
import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.processes import worker_pool
from data_pipelines.simulators.attempts import attempt
from data_pipelines.simulators.simulator import Simulator, TaskSpec
from experiments import lam_inputs, provenance
from experiments.measure_expert.record import Attempts
from experiments.measure_expert.results import FORMAT, markdown, summarise, table
from experiments.played_tasks import simulator_of, tasks_of
from experiments.progress_bar import progress
from flexlam_jax import output_folder
from flexlam_jax.evaluation.rollouts import episode_seeds
from flexlam_jax.files import write_atomically
from flexlam_jax.output_folder import EXPERT
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text

_SIMULATOR = flags.DEFINE_string(
    "simulator", None, "Dataset of prepare that is played, as libero-record.", required=True
)
_TASKS = flags.DEFINE_list(
    "tasks", [], "Tasks, patterns of their names, or suite; default all of the simulator."
)
_EPISODES = flags.DEFINE_integer("episodes", 10, "Episodes of a task.", lower_bound=1)
_SEED = lam_inputs.define_seed("Seed of the episodes; equal seeds play equal episodes.")
_REPLAYS = flags.DEFINE_integer(
    "replays", None, "Solved episodes of a task that are played again; default all.", lower_bound=0
)
_WORKERS = flags.DEFINE_integer(
    "workers", 2, "Processes, a task each; they change nothing but the speed.", lower_bound=1
)
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(lam_inputs.text(_OUT), EXPERT)
    simulator = simulator_of(_SIMULATOR.value)
    tasks = _tasks(simulator, lam_inputs.listed(_TASKS))
    seeds = episode_seeds(_SEED.value, _EPISODES.value)
    told = {"kind": EXPERT.name, "simulator": dict(simulator.sources()), "replays": _REPLAYS.value}
    folder = Path(out)
    with output_folder.Claim(out, EXPERT):
        attempts = Attempts(folder, told)
        _play(simulator, tasks, seeds, attempts)
        made = provenance.made_by("experiments.measure_expert")
        found = summarise(tasks, {task: attempts.of(task, seeds) for task in tasks})
        report = {"format": FORMAT, **made, **told, "seed": _SEED.value, **found}
        text = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
        write_atomically(folder / "results.json", text)
        write_atomically(folder / "results.md", markdown(report))
    print(f"\n{as_text(table(report))}\n{folder / 'results.md'}")


def _tasks(simulator: type[Simulator], names: Sequence[str]) -> dict[str, TaskSpec]:
    """By name or pattern. Raises DataError for those that do not exist, listing those that do."""
    known = list(simulator.tasks())
    wanted = [task for name in names or known for task in fnmatch.filter(known, name) or [name]]
    return tasks_of(simulator, list(dict.fromkeys(wanted)))


def _play(
    simulator: type[Simulator],
    tasks: dict[str, TaskSpec],
    seeds: Sequence[int],
    attempts: Attempts,
) -> None:
    """Plays what is missing, a task per worker, and keeps it as tasks end."""
    missing = {task: attempts.missing(task, seeds) for task in tasks}
    missing = {task: some for task, some in missing.items() if some}
    replays = len(seeds) if _REPLAYS.value is None else _REPLAYS.value
    tick = progress("tasks", len(missing))
    with worker_pool(_WORKERS.value) as pool:
        running = {
            pool.submit(attempt, simulator, task, some, replays=replays): task
            for task, some in missing.items()
        }
        for future in concurrent.futures.as_completed(running):
            attempts.add(running[future], future.result())
            tick()
