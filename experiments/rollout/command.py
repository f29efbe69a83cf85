"""Plays episodes with a policy and writes returns.json, and videos with a page to see them.

    python -m experiments.rollout --policy=runs/token_policy --translator=runs/translator \\
        --keep=4 --tasks=suite --episodes=40 --videos=2 --out=runs/rollouts

--policy is a checkpoint of behaviour_cloning or token_policy, or a behaviour of the simulator
(random, sticky, expert). Killed, the same command goes on after the last finished episode. See
docs/rollouts.md for the files.
"""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_pipelines.optional import require
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.pool import SimulatorPool
from data_pipelines.simulators.simulator import Simulator, TaskSpec
from experiments import lam_inputs, provenance
from experiments.played_tasks import simulator_of, tasks_of
from experiments.progress_bar import progress
from experiments.rollout.gallery import gallery
from experiments.rollout.given_rules import rules_of
from experiments.rollout.players import LatentPath, Player, check_fit, open_player
from experiments.rollout.record import TEST, VALIDATION, Record
from experiments.rollout.summary import FORMAT, summarise, table
from experiments.rollout.videos import FOLDER, Recorder
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import ARGMAX, SAMPLE, Rule, choose_rules
from flexlam_jax.evaluation.rollouts import Episode, Outcome, episode_seeds, mean_returns, play
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text
from flexlam_jax.training.compilation import use_compilation_cache

AUTO = "auto"
_POLICY = flags.DEFINE_string(
    "policy", None, "Checkpoint that acts, or random, sticky, noisy or expert.", required=True
)
_TRANSLATOR = flags.DEFINE_string("translator", "", "Translator of a policy of latent actions.")
_LAM = flags.DEFINE_string("lam", "", "Its latent action model; default the one it was made for.")
_KEEP = flags.DEFINE_integer("keep", None, "Its token budget; default all slots.")
_DRAWS = flags.DEFINE_integer(
    "draws", 16, "Token draws that it averages over.", lower_bound=1, upper_bound=4096
)
_UNVALIDATED = flags.DEFINE_bool(
    "allow_unvalidated_codes", False, "Act through codes that the LAM's action_card.json refuses."
)
_SIMULATOR = flags.DEFINE_string("simulator", "doom_suite", "Dataset of prepare that is played.")
_TASKS = flags.DEFINE_list("tasks", ["suite"], "Tasks, or suite: those whose mean is the result.")
_EPISODES = flags.DEFINE_integer("episodes", 20, "Episodes per task.", lower_bound=1)
_SEED = lam_inputs.define_seed("Seed of the episodes; equal seeds play equal episodes.")
_WORKERS = flags.DEFINE_integer(
    "workers", 2, "Processes of simulators; they change nothing but the speed.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "batch", 24, "Episodes at once.", lower_bound=1, upper_bound=lam_inputs.BATCH_SIZE
)
_RULE = flags.DEFINE_enum(
    "rule", AUTO, [AUTO, ARGMAX, SAMPLE], "How actions are taken; auto: the better one per task."
)
_RULES_OF = flags.DEFINE_string(
    "rules_of", "", "Folder of rollouts whose rules are taken, instead of --rule."
)
_POWER = flags.DEFINE_float(
    "power", 1.0, "Of the probabilities that actions are drawn by.", lower_bound=0.01
)
_VALIDATION = flags.DEFINE_integer(
    "validation_episodes", 10, "Episodes per task and rule that auto plays first.", lower_bound=1
)
_VIDEOS = flags.DEFINE_integer("videos", 0, "Episodes per task to make videos of.", lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.ROLLOUTS)
    simulator = simulator_of(_SIMULATOR.value)
    tasks = tasks_of(simulator, lam_inputs.listed(_TASKS))
    if _VIDEOS.value:
        require("av")
    given = _given_rules(tasks)
    sources = simulator.sources()  # that it is installed
    use_compilation_cache(_CACHE.value)
    player = open_player(
        lam_inputs.text(_POLICY),
        LatentPath(_TRANSLATOR.value, _LAM.value, _KEEP.value, _DRAWS.value, _UNVALIDATED.value),
    )
    if player.policy:
        for task in tasks.values():
            check_fit(player.policy, task)
    settings = {"kind": "rollouts", "simulator": sources, "policy": player.about} | _choices(player)
    with output_folder.Claim(out, output_folder.ROLLOUTS), contextlib.ExitStack() as stack:
        folder = Path(out)
        session = Session(stack, simulator, player, Record(folder, settings), tasks, folder)
        rules, validation = (given, {}) if given else session.rules()
        outcomes = session.test(rules)
        report = {"format": FORMAT, **provenance.made_by("experiments.rollout"), **settings}
        report |= summarise(tasks, outcomes, rules, validation) | {"speed": session.speed()}
        text = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
        write_atomically(folder / "returns.json", text)
        if _VIDEOS.value:
            write_atomically(folder / "gallery.html", gallery(report, folder, _VIDEOS.value))
    _tell(report, folder)


def _given_rules(tasks: Mapping[str, TaskSpec]) -> dict[str, Rule]:
    """The rules of --rules_of, {} without. Raises UserError as `rules_of`, or beside other flags."""
    if not _RULES_OF.value:
        return {}
    if _RULE.present or _POLICY.value in BEHAVIOURS:
        other = "--rule" if _RULE.present else f"--policy={_POLICY.value}"
        raise UserError(
            f"--rules_of says how a policy's actions are taken; leave out {other}, or it"
        )
    return rules_of(_RULES_OF.value, tasks)


def _choices(player: Player) -> dict[str, Any]:
    """The flags, beside the player, that decide what an episode becomes."""
    chosen: dict[str, Any] = {"seed": _SEED.value}
    if player.policy and _RULES_OF.value:
        chosen["rule"] = "of other rollouts"  # The record tells episodes of other rules apart.
    elif player.policy:
        chosen |= {"rule": _RULE.value, "power": _POWER.value}
        chosen |= {"validation_episodes": _VALIDATION.value} if _RULE.value == AUTO else {}
    return chosen


class Session:
    """Plays what a record lacks; the pool starts with the first episode that is missing."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        simulator: type[Simulator],
        player: Player,
        record: Record,
        tasks: Mapping[str, TaskSpec],
        folder: Path,
    ):
        self._stack, self._simulator, self._player = stack, simulator, player
        self._record, self._tasks = record, tasks
        fps = {name: task.fps for name, task in tasks.items()}
        self._recorder = Recorder(folder / FOLDER, fps, player.predicts) if _VIDEOS.value else None
        self._pool: SimulatorPool | None = None
        self._steps, self._seconds = 0, 0.0

    def rules(self) -> tuple[dict[str, Rule], dict[str, dict[str, float]]]:
        """The rule of every task, and what auto found on validation episodes."""
        if self._player.policy is None:
            return {}, {}
        candidates = {ARGMAX: Rule(ARGMAX), SAMPLE: Rule(SAMPLE, _POWER.value)}
        if _RULE.value != AUTO:
            return dict.fromkeys(self._tasks, candidates[_RULE.value]), {}
        episodes = self._episodes(_VALIDATION.value, validation=True)
        return choose_rules(
            list(self._tasks),
            list(candidates.values()),
            lambda rules: mean_returns(self._outcomes(VALIDATION, episodes, rules)),
        )

    def test(self, rules: Mapping[str, Rule]) -> list[Outcome]:
        """The test episodes; first those with videos, for which the policy also predicts."""
        if self._recorder:
            shown = self._episodes(min(_VIDEOS.value, _EPISODES.value))
            self._outcomes(TEST, shown, rules, self._recorder)
        return self._outcomes(TEST, self._episodes(_EPISODES.value), rules)

    def speed(self) -> dict[str, Any] | None:
        """Of this call: environment steps, seconds with inference and start of the simulators."""
        if not self._steps:
            return None
        rate = self._steps / self._seconds
        return {"steps": self._steps, "seconds": self._seconds, "steps_per_second": rate}

    def _episodes(self, count: int, *, validation: bool = False) -> list[Episode]:
        seeds = episode_seeds(_SEED.value, count, validation=validation)
        return [Episode(task, seed) for task in self._tasks for seed in seeds]

    def _outcomes(
        self,
        split: str,
        episodes: Sequence[Episode],
        rules: Mapping[str, Rule],
        recorder: Recorder | None = None,
    ) -> list[Outcome]:
        missing = self._record.missing(split, episodes, rules)
        if recorder:
            missing = [one for one in episodes if one in missing or not recorder.path(one).exists()]
        if missing:
            self._play(split, missing, rules, recorder)
        return self._record.outcomes(split, episodes, rules)

    def _play(self, split, episodes, rules, recorder) -> None:
        pool, policy = self._started(), self._player.policy
        tick = progress(f"{split} episodes", len(episodes))

        def ended(outcome: Outcome) -> None:
            if recorder:
                recorder.end(outcome)
            self._record.add(split, outcome, rules)
            tick()

        watch = recorder.see if recorder else None
        if policy:  # Compiled before the clock runs.
            windows = np.zeros((pool.slots, policy.history, *pool.frames.shape[1:]), np.uint8)
            policy.decide(windows, np.zeros(pool.slots, np.uint32), predict=recorder is not None)
        start = time.monotonic()
        outcomes = play(pool, policy, episodes, rules, on_end=ended, watch=watch)
        self._seconds += time.monotonic() - start
        self._steps += sum(outcome.length for outcome in outcomes)

    def _started(self) -> SimulatorPool:
        if self._pool is None:
            self._pool = self._stack.enter_context(
                SimulatorPool(
                    self._simulator,
                    slots=_BATCH.value,
                    workers=_WORKERS.value,
                    size=self._player.size,
                    behaviour=self._player.behaviour,
                )
            )
        return self._pool


def _tell(report: Mapping[str, Any], folder: Path) -> None:
    shown = table(report)
    print(f"\n{as_text(shown)}\n{shown.caption}")
    for task, one in report["tasks"].items():
        for lost in one["lost"]:
            print(f"lost: {task}, seed {lost['seed']}: {lost['reason']}")
    speed = report["speed"]
    if speed:
        print(f"{speed['steps']} steps, {speed['steps_per_second']:.0f} per second")
    print(folder / "returns.json")
    if _VIDEOS.value:
        print(folder / "gallery.html")
