"""Compares HiLAM with flat BAKU, from a simulator to the tables.

    python -m experiments.hilam_study --out=runs/hilam [--fast] [--seeds=0,1,2] \\
        [--tasks=drawer,window] [--shares=10,30,50,80,100] [--episodes=50] \\
        [--arms=baku,hilam,...] [--prefixes=1,2] [--execute=5] [--jobs=2]

Records demonstrations; trains a latent action model on their video and skills on its latent actions;
trains flat BAKU, and both levels of HiLAM, on shares of the demonstrations; plays each. Beside the
curve of both stand changes of HiLAM at the largest share: other stages, no video, chunks cut
otherwise, and with --prefixes what z^0 is. Each of these is a command of its own with its own folder
and log below --out, where results.csv grows with every evaluation. Killed, the same command goes on;
with more seeds, shares, arms or episodes it adds them to what is there. At the end come results.json,
results.md, figure.svg and report.html.

See docs/results/README.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.format.manifest import open_dataset
from experiments import lam_inputs
from experiments.evaluate_policy.suites import open_suite
from experiments.hilam_study.arms import ARMS, Arm, prefix_arms
from experiments.hilam_study.pieces import ALL, EVALUATION, pieces
from experiments.hilam_study.results import write_episodes, write_results
from experiments.hilam_study.settings import Presets, Settings, check_prefixes, gap_of, size_of
from experiments.pieces import study_flags
from experiments.pieces.config_flags import with_variants
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
_SHARES = flags.DEFINE_list(
    "shares", ["10", "30", "50", "80", "100"], "Shares of the demonstrations, in percent."
)
_ARMS = flags.DEFINE_list(
    "arms",
    [arm.name for arm in ARMS],
    "What is compared: " + "; ".join(f"{arm.name}: {arm.about}" for arm in ARMS) + ".",
)
_PREFIXES = flags.DEFINE_list(
    "prefixes", [], "HiLAM on so many first slots of FlexLAM, and on a LAM of so many slots."
)
_SIMULATOR = flags.DEFINE_string("simulator", "ogbench", "Dataset of prepare that is recorded.")
_TASKS = flags.DEFINE_list("tasks", ["drawer", "window"], "Its tasks.")
_CAMERAS = flags.DEFINE_list(
    "cameras", [], "That policies look through, the first of them latent actions too; default one."
)
_DEMONSTRATIONS = flags.DEFINE_integer(
    "demonstrations", 50, "Demonstrations of each task.", lower_bound=3
)
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default one that is recorded.")
_SUITE = flags.DEFINE_string("suite", "", "Of evaluate_policy; default the simulator.")
_PROTOCOL = flags.DEFINE_string("protocol", "", "Of evaluate_policy; default the suite's.")
_EPISODES = flags.DEFINE_integer("episodes", 50, "Episodes per task and policy.", lower_bound=1)
_EXECUTE = flags.DEFINE_integer(
    "execute",
    0,
    "Actions of a chunk that are done before the next is decided; 0: means of all chunks (temporal "
    "ensembling), as in BAKU.",
    lower_bound=0,
)
_LAM = flags.DEFINE_string("lam_config", f"{_CONFIGS}/ogbench.py", "Preset of the LAMs.")
_SKILLS = flags.DEFINE_string(
    "skill_config", f"{_CONFIGS}/hilam.py:ogbench", "Preset of the skills."
)
_HIGH = flags.DEFINE_string(
    "high_config", f"{_CONFIGS}/baku.py:ogbench_tasks,high", "Preset of the high level."
)
_POLICY = flags.DEFINE_string(
    "policy_config", f"{_CONFIGS}/baku.py:ogbench_tasks", "Preset of BAKU and of the low level."
)
_JOBS = flags.DEFINE_integer("jobs", 2, "Commands side by side.", lower_bound=1)

# What --fast takes where no flag says otherwise.
_SMALL = {
    "arms": ["baku", "hilam"],
    "shares": ["100"],
    "tasks": ["window"],
    "demonstrations": 3,
    "episodes": 1,
}


def main(argv: Sequence[str]) -> None:
    del argv
    settings = settings_of_flags()
    out = output_folder.check(settings.out, output_folder.HIERARCHY)
    with output_folder.Claim(out, output_folder.HIERARCHY):
        text = json.dumps({"kind": output_folder.HIERARCHY.name, **settings.told()}, indent=1)
        write_atomically(settings.out / "settings.json", text + "\n")
        every = pieces(settings)
        runner = Runner(every, settings.out, _JOBS.value)
        print(f"{len(every)} pieces, {len(runner.finished())} of them finished before")

        def ended(piece: Piece) -> None:
            if piece.gives == EVALUATION:
                write_episodes(runner, settings.out)

        runner.run(every, ended)
        write_results(runner, every, settings)


def settings_of_flags() -> Settings:
    """What the flags ask for.

    Raises:
      ConfigError, DataError, UserError: what does not exist, or cannot be compared.
    """
    simulator = simulator_of(_SIMULATOR.value)
    cameras = tuple(lam_inputs.listed(_CAMERAS))
    unknown = [camera for camera in cameras if camera not in simulator.cameras]
    if unknown:
        raise UserError(
            f"--cameras: {_SIMULATOR.value} has no {', '.join(unknown)}; it has "
            f"{', '.join(simulator.cameras)}"
        )
    lam = _preset(_LAM)
    prefixes = _numbers(_PREFIXES, 1) if _PREFIXES.value else ()
    presets = Presets(lam, _preset(_SKILLS), _preset(_HIGH), _preset(_POLICY))
    gap = gap_of(lam)
    check_prefixes(lam, prefixes)
    settings = Settings(
        out=Path(lam_inputs.text(_OUT)).expanduser().absolute(),
        presets=presets,
        simulator=_SIMULATOR.value,
        tasks=tuple(tasks_of(simulator, _given(_TASKS))),
        demonstrations=_given(_DEMONSTRATIONS),
        size=size_of(presets),
        data=lam_inputs.text(_DATA),
        cameras=cameras or (simulator.cameras[:1] if len(simulator.cameras) > 1 else ()),
        gap=gap,
        suite=_SUITE.value or _SIMULATOR.value,
        protocol=_PROTOCOL.value,
        episodes=_given(_EPISODES),
        execute=_EXECUTE.value,
        arms=(*_arms(), *prefix_arms(prefixes)),
        shares=_shares(),
        seeds=_numbers(_SEEDS, 0),
    )
    _check_played(settings)
    return settings


def _check_played(settings: Settings) -> None:
    """Raises DataError or UserError for what evaluations, after hours of training, would refuse."""
    if settings.data:
        open_dataset(settings.data)
    suite = open_suite(settings.suite, settings.protocol, settings.tasks)
    suite.seeds(0, settings.episodes)
    suite.simulator.sources()  # that it is installed


def _given(flag: flags.FlagHolder) -> Any:
    return study_flags.given(flag, _small())


def _small() -> study_flags.Small:
    return _SMALL if _FAST.value else {}


def _preset(flag: flags.FlagHolder) -> str:
    return with_variants(flag.value, ["debug"] if _FAST.value and not flag.present else [])


def _arms() -> list[Arm]:
    names = _given(_ARMS)
    study_flags.check_names(_ARMS, names, [arm.name for arm in ARMS])
    return [arm for arm in ARMS if arm.name in names]


def _shares() -> tuple[int, ...]:
    shares = _numbers(_SHARES, 1)
    if shares[-1] > ALL:
        raise UserError(f"--shares={shares[-1]}: give percent of the demonstrations, at most {ALL}")
    return shares


def _numbers(flag: flags.FlagHolder, least: int) -> tuple[int, ...]:
    return study_flags.ascending(flag, least, _small())
