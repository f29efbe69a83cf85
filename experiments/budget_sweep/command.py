"""Compares FlexLAM with a Fixed-K model for each token budget, from nothing to the figure.

    python -m experiments.budget_sweep --out=runs/sweep [--fast] [--seeds=0,1,2] \\
        [--budgets=1,2,4,8,16] [--labels=64,256] [--draws=5,3] [--jobs=2]

Plays and records the tasks; trains the latent action models, a policy on the frozen codes of each,
and behaviour cloning as the ceiling; fits translators on scarce labels, on narrow ones and, with
--protocols=scarce,narrow,joint, fine-tunes models together with them; then plays each at each
budget. Each of these is a command of its own with its own folder and log below --out, where
results.csv grows by its rows as it ends. Killed, the same command goes on; with more seeds, draws
or episodes it adds them to what is there. At the end come results.json, results.md, figure.svg and
figure.html.

See docs/results/README.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.simulators.simulator import Simulator
from experiments import lam_inputs
from experiments.budget_sweep.pieces import DATA, pieces
from experiments.budget_sweep.results import write_results, write_rows
from experiments.budget_sweep.settings import (
    NARROW,
    PROTOCOLS,
    SCARCE,
    Presets,
    Settings,
    check_data,
    has_codes,
)
from experiments.pieces import study_flags
from experiments.pieces.piece import Piece
from experiments.pieces.runner import Runner
from experiments.played_tasks import simulator_of, tasks_of
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically

_CONFIGS = "experiments/configs"
_OUT = flags.DEFINE_string("out", None, "Folder for everything.", required=True)
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: every stage, nothing is learned.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Training seeds.")
_BUDGETS = flags.DEFINE_list("budgets", ["1", "2", "4", "8", "16"], "Token budgets.")
_PROTOCOLS = flags.DEFINE_list(
    "protocols", [SCARCE, NARROW], f"How labels are used: some of {', '.join(PROTOCOLS)}."
)
_LABELS = flags.DEFINE_list(
    "labels", ["64", "256"], "Scarce labels: numbers, shares as 0.025%, all."
)
_DRAWS = flags.DEFINE_list("draws", ["5", "3"], "Draws of each number of labels.")
_SOURCES = flags.DEFINE_list(
    "sources", ["defend_the_line_sticky"], "Datasets that narrow labels come from, each by itself."
)
_NARROW = flags.DEFINE_string("narrow_labels", "all", "Labels from a narrow source.")
_JOINT = flags.DEFINE_string("joint_labels", "0.5%", "Labels of joint fine-tuning.")
_SIMULATOR = flags.DEFINE_string("simulator", "doom_suite", "Dataset of prepare that is played.")
_TASKS = flags.DEFINE_list("tasks", ["suite"], "Tasks, or suite: those whose mean is the result.")
_EPISODES = flags.DEFINE_integer("episodes", 4, "Episodes per task and rollout.", lower_bound=1)
_VALIDATION = flags.DEFINE_integer(
    "validation_episodes",
    6,
    "Episodes per task and rule that choose how actions are taken, once for a model.",
    lower_bound=1,
)
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default one that is prepared.")
_VIDEO = flags.DEFINE_list("video", [], "Datasets that LAMs learn from; default their preset's.")
_DATASETS = flags.DEFINE_list(
    "datasets", [], "Of each task the one that policies and labels read; default TASK_noisy."
)
_CONFIG = flags.DEFINE_string("config", f"{_CONFIGS}/doom_suite.py", "Preset of the LAMs.")
_POLICY = flags.DEFINE_string("policy_config", f"{_CONFIGS}/token_policy.py", "Of the policies.")
_CLONING = flags.DEFINE_string(
    "cloning_config", f"{_CONFIGS}/behaviour_cloning.py", "Of behaviour cloning."
)
_FINETUNE = flags.DEFINE_string(
    "finetune_config", f"{_CONFIGS}/lam_finetune.py", "Of joint fine-tuning."
)
_JOBS = flags.DEFINE_integer("jobs", 2, "Commands side by side.", lower_bound=1)

# What --fast takes where no flag says otherwise.
_SMALL = {
    "budgets": ["1", "2"],
    "labels": ["16"],
    "draws": ["1"],
    "tasks": ["health_gathering", "rocket_basic"],
    "episodes": 1,
    "validation_episodes": 1,
}
_SMALL_PLAN = 300  # transitions of each dataset


def main(argv: Sequence[str]) -> None:
    del argv
    settings = settings_of_flags()
    out = output_folder.check(settings.out, output_folder.SWEEP)
    with output_folder.Claim(out, output_folder.SWEEP):
        text = json.dumps({"kind": "sweep", **settings.told()}, indent=1) + "\n"
        write_atomically(settings.out / "settings.json", text)
        every = pieces(settings)
        runner = Runner(every, settings.out, _JOBS.value)
        print(f"{len(every)} pieces, {len(runner.finished())} of them finished before")

        def ended(piece: Piece) -> None:
            if piece.gives:
                write_rows(runner, settings.out)

        runner.run([piece for piece in every if piece.name == DATA], ended)
        check_data(settings)
        runner.run(every, ended)
        write_results(runner, every, settings)


def settings_of_flags() -> Settings:
    """What the flags ask for.

    Raises:
      ConfigError, DataError, UserError: what does not exist, or cannot be compared.
    """
    simulator = simulator_of(_SIMULATOR.value)
    tasks = tasks_of(simulator, _given(_TASKS))
    action = next(iter(tasks.values())).action
    if action.kind != "discrete" or len({task.action for task in tasks.values()}) > 1:
        raise UserError("--tasks: one policy plays all tasks, by the same discrete actions")
    budgets = _numbers(_BUDGETS, 1)
    presets = Presets(*map(_preset, (_CONFIG, _POLICY, _CLONING, _FINETUNE)))
    datasets = tuple(lam_inputs.listed(_DATASETS)) or tuple(f"{task}_noisy" for task in tasks)
    if len(datasets) != len(tasks):
        raise UserError(
            f"--datasets names {len(datasets)}, --tasks {len(tasks)}; give one of each task"
        )
    plan = _plan(datasets)
    return Settings(
        out=Path(lam_inputs.text(_OUT)).expanduser().absolute(),
        presets=presets,
        simulator=_SIMULATOR.value,
        tasks=tuple(tasks),
        actions=tuple(action.names),
        expert=simulator.expert is not Simulator.expert,
        data=lam_inputs.text(_DATA),
        plan=plan,
        video=tuple(lam_inputs.listed(_VIDEO)) or (tuple(plan) or None),
        datasets=datasets,
        sources=tuple(lam_inputs.listed(_SOURCES)),
        seeds=_numbers(_SEEDS, 0),
        budgets=budgets,
        discrete=has_codes(presets.lam, budgets),
        protocols=_protocols(),
        labels=_labels(),
        narrow_labels=_label(_NARROW.name, _NARROW.value),
        joint_labels=_label(_JOINT.name, _JOINT.value),
        ceiling=not _FAST.value,  # It takes minutes.
        episodes=_given(_EPISODES),
        validation_episodes=_given(_VALIDATION),
    )


def _given(flag: flags.FlagHolder) -> Any:
    return study_flags.given(flag, _small())


def _small() -> study_flags.Small:
    return _SMALL if _FAST.value else {}


def _preset(flag: flags.FlagHolder) -> str:
    return f"{flag.value}:debug" if _FAST.value and ":" not in flag.value else flag.value


def _plan(datasets: Sequence[str]) -> dict[str, int]:
    if not _FAST.value or _DATA.value:
        return {}
    return dict.fromkeys([*datasets, *lam_inputs.listed(_SOURCES)], _SMALL_PLAN)


def _protocols() -> tuple[str, ...]:
    given = lam_inputs.listed(_PROTOCOLS)
    study_flags.check_names(_PROTOCOLS, given, PROTOCOLS)
    return tuple(given)


def _labels() -> dict[str, int]:
    labels = [_label(_LABELS.name, text) for text in _given(_LABELS)]
    draws = _draws()
    if len(draws) != len(labels):
        raise UserError(
            f"--draws has {len(draws)} numbers, --labels {len(labels)}; give one of each"
        )
    return dict(zip(labels, draws, strict=True))


def _label(flag: str, text: str) -> str:
    lam_inputs.labels(flag, text)
    return text


def _numbers(flag: flags.FlagHolder, least: int) -> tuple[int, ...]:
    return study_flags.ascending(flag, least, _small())


def _draws() -> tuple[int, ...]:
    """One number per number of labels, so that some may be equal."""
    items = _SMALL[_DRAWS.name] if _FAST.value and not _DRAWS.present else _DRAWS.value
    return lam_inputs.whole_numbers(_DRAWS.name, [text.strip() for text in items], 1)
