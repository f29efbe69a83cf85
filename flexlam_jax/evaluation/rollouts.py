"""Episodes that a policy plays, many at once: one call of the policy decides for all of them.

Nothing here knows a simulator: a pool shows pictures and takes actions. An episode is a function of
(task, seed, rule, policy), whatever is played beside it.

Dimension keys: B slots of the pool, T pictures of history, H W C image.
"""

import collections
import dataclasses
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from flexlam_jax.acting.policy import Policy
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule, take_actions

SEEDS_OF_A_RUN = 100_000  # episodes of one seed of a command, of each split


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode to play; `seed` (32 bits) decides all that is random in its world and decisions."""

    task: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an episode went.

    Attributes:
      episode_return: sum of its rewards.   length: steps.
      lost: why it could not be played to its end, "" if it was; the numbers are those until then.
      success: whether its task was solved; None where nobody asks, or it was lost.
    """

    episode: Episode
    episode_return: float
    length: int
    lost: str = ""
    success: bool | None = None


class Moment(Protocol):
    """What a call gave a slot: the reward, whether the episode ended, why it is lost or ""."""

    @property
    def reward(self) -> float: ...
    @property
    def done(self) -> bool: ...
    @property
    def lost(self) -> str: ...


M = TypeVar("M", bound=Moment, covariant=True)


class Pool(Protocol[M]):
    """Simulators that go on in lock step, as `data_pipelines.simulators.pool.SimulatorPool`.

    Attributes:
      slots: B.     frames: uint8 (B, H, W, C), the present pictures.
    """

    slots: int
    frames: np.ndarray

    def advance(
        self,
        starts: Mapping[int, tuple[str, int]],
        actions: Mapping[int, Any],
        unseen: Collection[int] = (),
    ) -> Mapping[int, M]:
        """Begins episodes (task, seed) and acts in others; an action None is the pool's own. The
        pictures of slots `unseen` may stay as they were."""
        ...


# Of an episode, its step, the picture (H, W, C) uint8 then, and the one that the policy predicted
# for then, float (H, W, C) in [0, 1], or None.
Watcher = Callable[[Episode, int, np.ndarray, np.ndarray | None], None]


def episode_seeds(seed: int, count: int, *, validation: bool = False) -> list[int]:
    """Seeds of the first `count` episodes of a task: odd for validation, even for the test.

    Raises:
      UserError: more than SEEDS_OF_A_RUN.
    """
    if count > SEEDS_OF_A_RUN:
        raise UserError(f"{count} episodes of one task; at most {SEEDS_OF_A_RUN} have a seed")
    return [(2 * (SEEDS_OF_A_RUN * seed + i) + validation) % 2**32 for i in range(count)]


def play(
    pool: Pool[Moment],
    policy: Policy | None,
    episodes: Sequence[Episode],
    rules: Mapping[str, Rule],
    *,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    watch: Watcher | None = None,
) -> list[Outcome]:
    """Plays episodes, as many at once as the pool has slots; the next begins where one ends.

    Args:
      policy: None lets the pool's own behaviour play.
      rules: task -> how actions are taken from probabilities.
      on_end: is told every episode that ended or was lost, in the order of their ends.
      watch: is shown every picture; the policy is then asked for predictions.

    Returns:
      The outcomes in the order of `episodes`.

    Raises:
      UserError: probabilities that are no numbers, and what the pool raises.
    """
    outcomes: dict[Episode, Outcome] = {}
    windows = _Windows(pool, policy)
    predictions: np.ndarray | None = None

    def act(live: Mapping[int, Live]) -> dict[int, int | None]:
        nonlocal predictions
        actions, predictions = _decide(policy, windows, live, rules, watch is not None)
        return actions

    for slot, one, moment in turns(pool, episodes, act):
        if moment.done or moment.lost:
            ended = Outcome(one.episode, one.total, one.steps, moment.lost)
            outcomes[one.episode] = ended
            on_end(ended)
            continue
        windows.push(slot, repeat=one.steps == 0)
        if watch:
            predicted = None if predictions is None or one.steps == 0 else predictions[slot]
            watch(one.episode, one.steps, pool.frames[slot].copy(), predicted)
    return [outcomes[episode] for episode in episodes]


def turns(
    pool: Pool[M],
    episodes: Sequence[Episode],
    act: Callable[[Mapping[int, "Live"]], Mapping[int, Any]],
    unseen: Callable[[], Collection[int]] = tuple,
) -> Iterator[tuple[int, "Live", M]]:
    """Plays episodes, as many at once as the pool has slots; the next begins where one ends.

    Args:
      act: slot -> the episode in it, to slot -> action, for all of them.
      unseen: slots whose pictures nobody will look at after these actions.

    Yields:
      (slot, its episode, what a call of the pool gave it): at the beginning, when it has 0 steps,
      and after every step, until the moment that ends or loses it.
    """
    waiting, live = collections.deque(episodes), dict[int, Live]()
    while waiting or live:
        free = [slot for slot in range(pool.slots) if slot not in live]
        starts = {slot: waiting.popleft() for slot in free[: len(waiting)]}
        actions = act(live)
        live |= {slot: Live(episode) for slot, episode in starts.items()}
        begun = {slot: (e.task, e.seed) for slot, e in starts.items()}
        moments = pool.advance(begun, actions, unseen())
        for slot, moment in sorted(moments.items()):
            one = live[slot]
            if slot in actions:
                one.total += moment.reward
                one.steps += not moment.lost
            if moment.done or moment.lost:
                del live[slot]
            yield slot, one, moment


def mean_returns(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Mean return by task of the episodes that were not lost.

    Raises:
      UserError: a task of which all are.
    """
    earned: dict[str, list[float]] = {outcome.episode.task: [] for outcome in outcomes}
    for outcome in outcomes:
        if not outcome.lost:
            earned[outcome.episode.task].append(outcome.episode_return)
    for task, returns in earned.items():
        if not returns:
            why = next(o.lost for o in outcomes if o.episode.task == task)
            raise UserError(f"all episodes of {task} were lost, the first one because {why}")
    return {task: statistics.fmean(returns) for task, returns in earned.items()}


@dataclasses.dataclass
class Live:
    """An episode that runs: the sum of its rewards and the number of its steps so far."""

    episode: Episode
    total: float = 0.0
    steps: int = 0

    def draws(self) -> np.ndarray:
        """uint32 (2,), a function of the episode's seed and step: for the policy, for the rule."""
        return np.random.SeedSequence([self.episode.seed, self.steps]).generate_state(2)


class _Windows:
    """uint8 (B, T, H, W, C): the last T pictures of every slot, the newest last."""

    def __init__(self, pool: Pool[Moment], policy: Policy | None):
        history = policy.history if policy else 1
        self._pool = pool
        self.frames = np.zeros((pool.slots, history, *pool.frames.shape[1:]), np.uint8)

    def push(self, slot: int, *, repeat: bool) -> None:
        """Takes the slot's present picture; `repeat` fills the window with it."""
        if repeat:
            self.frames[slot] = self._pool.frames[slot]
        else:
            self.frames[slot, :-1] = self.frames[slot, 1:]
            self.frames[slot, -1] = self._pool.frames[slot]


def _decide(
    policy: Policy | None,
    windows: _Windows,
    live: Mapping[int, Live],
    rules: Mapping[str, Rule],
    predict: bool,
) -> tuple[dict[int, int | None], np.ndarray | None]:
    """Actions of the live slots, and predicted pictures (B, H, W, C) or None."""
    slots = sorted(live)
    if not slots or policy is None:
        return dict.fromkeys(slots), None
    draws = np.stack([live[slot].draws() for slot in slots])
    # All slots every time, also those that stand still: one program, compiled once.
    seeds = np.zeros(len(windows.frames), np.uint32)
    seeds[slots] = draws[:, 0]
    decision = policy.decide(windows.frames, seeds, predict=predict)
    actions = take_actions(
        np.asarray(decision.probabilities)[slots],
        draws[:, 1] / 2**32,
        [rules[live[slot].episode.task] for slot in slots],
    )
    predictions = None if decision.prediction is None else np.asarray(decision.prediction)
    return dict(zip(slots, actions, strict=True)), predictions
