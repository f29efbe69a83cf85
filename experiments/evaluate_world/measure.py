"""What is measured of each world; docs/world/measures.md defines all of it.

Dimension keys: N clips, T steps, K slots, D slot width.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.evaluate_world.players import NONE, Player
from experiments.progress_bar import progress
from flexlam_jax.evaluation.world import frechet
from flexlam_jax.evaluation.world.clip_features import clip_features
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.code_draws import random_codes
from flexlam_jax.evaluation.world.delta_psnr import TIMES, delta_psnr
from flexlam_jax.evaluation.world.generation import Sampling, generate
from flexlam_jax.evaluation.world.latency import latency
from flexlam_jax.evaluation.world.obedience import (
    Pairs,
    Reader,
    cell,
    commanded_pairs,
    fit_reader,
    of_same_code,
    relative,
)
from flexlam_jax.evaluation.world.rollouts import horizon

_TIMED = 100  # steps whose latency is taken
Row = dict[str, Any]
Tick = Callable[[int], object]


@dataclasses.dataclass(frozen=True)
class Probe:
    """What obedience is measured with.

    Attributes:
      names: of the actions.      reader: fitted on real train transitions.
      real: held-out real transitions.      read: what it reads of them.
      train: clips whose starts and codes make the transitions that a second probe is fitted on.
      steps: that probes are fitted for.
    """

    names: tuple[str, ...]
    reader: Reader
    real: Pairs
    read: np.ndarray
    train: Clips
    steps: int

    @property
    def classes(self) -> int:
        """How many actions there are."""
        return len(self.names)


def measure(
    player: Player, clips: Clips, probe: Probe | None, sampling: Sampling, names: tuple[str, ...]
) -> dict[str, Any]:
    """{"takes", "budgets": a row per budget, "latency", "frechet" or "frechet_why"} of a world."""
    world, commands = player.world, player.commands(clips, names)
    rounds = 1 + (player.takes != NONE) + (probe.classes if probe else 0)
    tick = progress(player.name, rounds * len(player.budgets) * len(clips))
    rows: list[Row] = []
    made = clips.target
    for number, k in enumerate(player.budgets):
        made = generate(world, clips.start(world.history), commands, k, sampling, tick=tick)
        row: Row = {"k": k, "horizon": horizon(clips.target, made, clips.last, clips.episode)}
        row["delta_psnr"] = _delta(player, clips, commands, made, k, sampling, tick)
        if probe is not None:
            row["obedience"] = _obedience(
                player, clips, commands, probe, k, sampling, tick, both=not number
            )
        rows.append(row)
    found: dict[str, Any] = {"takes": player.takes, "budgets": rows}
    flat = commands.reshape(-1, *commands.shape[2:])
    found["latency"] = latency(
        world,
        clips.start(world.history)[:1],
        flat[np.arange(_TIMED) % len(flat)],
        player.budgets[0],
        sampling,
    )
    return found | _frechet(clips, made)


def _delta(
    player: Player,
    clips: Clips,
    commands: np.ndarray,
    made: np.ndarray,
    k: int | None,
    sampling: Sampling,
    tick: Tick,
) -> dict[int, Any]:
    """Δ_t PSNR by t; {} for a world without commands, whose codes cannot be other ones."""
    if player.takes == NONE:
        return {}
    steps = min(clips.horizon, max(TIMES))
    flat = commands.reshape(-1, *commands.shape[2:])
    ids = player.ids(clips)
    ids = None if ids is None else ids.reshape(len(flat), -1)
    keep = player.world.slots if k is None else k
    drawn = random_codes(flat, ids, keep, (len(clips), steps), sampling.seed)
    other = generate(player.world, clips.start(player.world.history), drawn, k, sampling, tick=tick)
    return delta_psnr(clips.target, made, other, clips.episode)


def _obedience(
    player: Player,
    clips: Clips,
    commands: np.ndarray,
    probe: Probe,
    k: int | None,
    sampling: Sampling,
    tick: Tick,
    *,
    both: bool,
) -> Row:
    """{"real_real", "real_generated"}, "relative" and "same_code" where they can be told and, if
    `both`, the cells of a probe fitted on what the world generates."""
    classes = probe.classes
    made = commanded_pairs(player.world, clips, commands, k, classes, sampling, tick)
    read = probe.reader(made.frames)
    row: Row = {
        "real_real": cell(lambda _: probe.read, probe.real, classes),
        "real_generated": cell(lambda _: read, made, classes),
    }
    if (of_real := relative((read, made), (probe.read, probe.real), classes)) is not None:
        row["relative"] = of_real
    ids = player.ids(clips)
    if ids is not None:
        ids = ids.reshape(len(probe.read), -1)[:, :k]
        if (bound := of_same_code(ids, probe.real, probe.read, classes)) is not None:
            row["same_code"] = bound
    if both:
        train = commanded_pairs(
            player.world,
            probe.train,
            player.commands(probe.train, probe.names),
            k,
            classes,
            sampling,
        )
        reader = fit_reader(train, classes, sampling.seed, probe.steps)
        row["generated_real"] = cell(reader, probe.real, classes)
        row["generated_generated"] = cell(reader, made, classes)
    return row


def _frechet(clips: Clips, made: np.ndarray) -> dict[str, Any]:
    """Of clips from the newest frame of the context on."""
    if why := frechet.why_not(clips.episode):
        return {"frechet_why": why}
    real = clip_features(clips.frames[:, clips.context - 1 :])
    generated = clip_features(np.concatenate([clips.last[:, None], made], 1))
    return {"frechet": frechet.distances(real, generated, clips.episode)}
