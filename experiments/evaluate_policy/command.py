"""Plays a chunk policy on a suite of tasks and writes success.json, the share that it solves.

    python -m experiments.evaluate_policy --policy=runs/baku --suite=libero_goal --protocol=openvla \\
        --workers=2 --out=runs/goal
    python -m experiments.evaluate_policy --policy=runs/high --low=runs/low --suite=ogbench \\
        --tasks=drawer,window --episodes=50 --videos=2 --out=runs/hierarchy

Killed, the same command goes on after the last finished episode. See docs/policies.md.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.simulators.libero.package import PERTURBATIONS
from data_pipelines.simulators.libero.rendering import RENDERINGS
from data_pipelines.simulators.pool import SimulatorPool
from experiments import lam_inputs, provenance
from experiments.evaluate_policy.gallery import gallery
from experiments.evaluate_policy.levels import Player, fit, open_player
from experiments.evaluate_policy.session import Session
from experiments.evaluate_policy.suites import Suite, open_suite
from experiments.evaluate_policy.summary import FORMAT, summarise, table
from experiments.rollout.record import Record
from experiments.rollout.videos import FOLDER, Recorder
from flexlam_jax import output_folder
from flexlam_jax.acting import temporal_ensemble
from flexlam_jax.acting.chunk_actor import ChunkActor
from flexlam_jax.files import write_atomically
from flexlam_jax.output_folder import POLICY_EVALUATION
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text
from flexlam_jax.training.compilation import use_compilation_cache

_POLICY = flags.DEFINE_string(
    "policy",
    None,
    "Run of a chunk policy; with --low, the one that predicts skills.",
    required=True,
)
_LOW = flags.DEFINE_string("low", "", "Run of the low level, which turns skills into actions.")
_SUITE = flags.DEFINE_string(
    "suite",
    None,
    "libero_spatial, _object, _goal, _10, _90, ogbench, metaworld, or a dataset of prepare that is "
    "played.",
    required=True,
)
_PROTOCOL = flags.DEFINE_string(
    "protocol", "", "How LIBERO is measured: official, openvla or baku; others: plain, the default."
)
_PERTURBATION = flags.DEFINE_enum(
    "perturbation", None, PERTURBATIONS, "The suite as LIBERO-PRO changed it; default unchanged."
)
_RENDERING = flags.DEFINE_enum(
    "rendering", None, list(RENDERINGS), "How LIBERO is drawn, as the policy's data; default plain."
)
_TASKS = flags.DEFINE_list(
    "tasks", [], "Tasks, of LIBERO also by number; default all of the suite."
)
_EPISODES = flags.DEFINE_integer(
    "episodes", None, "Episodes per task; default the protocol's.", lower_bound=1
)
_SEED = lam_inputs.define_seed("Seed of the episodes; equal seeds play equal episodes.")
_WORKERS = flags.DEFINE_integer(
    "workers", 2, "Processes of simulators; they change nothing but the speed.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "batch",
    4,
    "Rows of a decision, and episodes at once; of simulators that need a process each no more than "
    "--workers.",
    lower_bound=1,
    upper_bound=lam_inputs.BATCH_SIZE,
)
_ENSEMBLE = flags.DEFINE_bool(
    "ensemble", True, "Temporal ensembling of chunks as in BAKU; else the first actions of each."
)
_EXECUTE = flags.DEFINE_integer(
    "execute",
    1,
    "With --noensemble: actions of a chunk that are done before the next one is decided.",
    lower_bound=1,
)
_VIDEOS = flags.DEFINE_integer("videos", 0, "Episodes per task to make videos of.", lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(lam_inputs.text(_OUT), POLICY_EVALUATION)
    suite = open_suite(
        _SUITE.value,
        _PROTOCOL.value,
        lam_inputs.listed(_TASKS),
        rendering=_RENDERING.value or "",
        perturbation=_PERTURBATION.value or "",
    )
    seeds = suite.seeds(_SEED.value, _EPISODES.value or suite.protocol["episodes"])
    sources = suite.simulator.sources()  # that it is installed
    use_compilation_cache(_CACHE.value)
    player = open_player(lam_inputs.text(_POLICY), _LOW.value)
    settings = _settings(suite, player, sources)
    levels, cameras = fit(player, suite.simulator, suite.tasks)
    actor = ChunkActor(levels, slots=_BATCH.value, ensemble=_ENSEMBLE.value, execute=_EXECUTE.value)
    folder = Path(out)
    recorder: Recorder | None = None
    if _VIDEOS.value:
        fps = {name: task.fps for name, task in suite.tasks.items()}
        recorder = Recorder(folder / FOLDER, fps, predicts=False)
    with output_folder.Claim(out, POLICY_EVALUATION), contextlib.ExitStack() as pools:
        session = Session(
            Record(folder, settings, POLICY_EVALUATION.noun),
            actor,
            lambda: pools.enter_context(_pool(suite, player.size, cameras)),
        )
        outcomes = session.outcomes(suite.tasks, seeds, recorder, seeds[: _VIDEOS.value])
        pools.close()  # its workers end, and their time counts
        made = provenance.made_by("experiments.evaluate_policy")
        report = {"format": FORMAT, **made, **settings, **summarise(suite.tasks, outcomes)}
        report["speed"] = session.speed()
        text = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
        write_atomically(folder / "success.json", text)
        if _VIDEOS.value:
            write_atomically(folder / "gallery.html", gallery(report, folder, _VIDEOS.value))
    _tell(report, folder)


def _settings(suite: Suite, player: Player, sources: Mapping[str, Any]) -> dict[str, Any]:
    """What decides an episode."""
    ensemble = {"rate": temporal_ensemble.RATE} if _ENSEMBLE.value else None
    return {
        "kind": POLICY_EVALUATION.name,
        "suite": _SUITE.value,
        "protocol": {**suite.protocol, "shown_size": player.size},
        "simulator": dict(sources),
        **player.about,
        "ensemble": ensemble,
        # Folders of before there was a choice go on.
        **({"execute": _EXECUTE.value} if _EXECUTE.value > 1 else {}),
        "seed": _SEED.value,
        "batch": _BATCH.value,
    }


def _pool(suite: Suite, size: int, cameras: Sequence[str]) -> SimulatorPool:
    alone = suite.simulator.one_task_per_process
    return SimulatorPool(
        suite.simulator,
        slots=min(_BATCH.value, _WORKERS.value) if alone else _BATCH.value,
        workers=_WORKERS.value,
        size=size,
        camera=cameras,
        asks=True,
    )


def _tell(report: Mapping[str, Any], folder: Path) -> None:
    shown = table(report)
    print(f"\n{as_text(shown)}\n{shown.caption}")
    for task, one in report["tasks"].items():
        for episode in one["episodes"]:
            if episode["lost"]:
                print(f"lost: {task}, seed {episode['seed']}: {episode['reason']}")
    speed = report["speed"]
    if speed:
        print(
            f"{speed['steps']} steps, {speed['steps_per_second']:.1f} per second, in "
            f"{speed['seconds'] / 60:.1f} minutes and {speed['cpu_seconds'] / 60:.1f} CPU minutes; "
            f"the policy alone decides {speed['decisions_per_second']:.1f} times per second"
        )
    print(folder / "success.json")
    if _VIDEOS.value:
        print(folder / "gallery.html")
