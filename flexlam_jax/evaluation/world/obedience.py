"""Obedience: whether a probe of real transitions reads the commanded action from generated ones.

An action is commanded by the code that a latent action model read from a real transition with that
action, of which the first k slots are given. From every start every action is commanded equally
often, and scores are means over actions of the share that is read right (balanced accuracy), so that
a world which always does the commonest thing scores 1 / actions.

Fitted and read on real and on generated transitions that makes four cells, as in ATM
(arXiv 2606.09028): real, real is what the probe can do; real, generated is obedience; generated,
real says whether what was learned in the world holds outside; generated, generated whether actions
can be told apart in it at all.

Dimension keys: N clips, M transitions, A actions, H W C frame, K slots, D slot width.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from flexlam_jax.evaluation import intervals, inverse_model
from flexlam_jax.evaluation.translator_fit import ActionTarget
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.code_draws import commanded
from flexlam_jax.evaluation.world.generation import Sampling, generate
from flexlam_jax.reports.results import Number
from flexlam_jax.world.world import World

Reader = Callable[[np.ndarray], np.ndarray]  # uint8 (M, 2, H, W, C) -> actions int (M,)
REAL, GENERATED = "real", "generated"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Commanded:
    """Actions of transitions, true or commanded.

    action: int (M,).   episode: int (M,).
    """

    action: np.ndarray
    episode: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs(Commanded):
    """The same with their frames.

    frames: uint8 (M, 2, H, W, C).
    """

    frames: np.ndarray


def fit_reader(
    pairs: Pairs, classes: int, seed: int = 0, steps: int = inverse_model.STEPS
) -> Reader:
    """The probe: a small network on the pixels of both frames (inverse_model.py).

    It sees no code and no encoder, so that nothing which only a latent action model would notice in
    a generated frame counts as obeying.
    """
    target = ActionTarget(True, classes)
    outputs = inverse_model.fit(pairs.frames, pairs.action, target, seed, steps)
    return lambda frames: outputs(frames).argmax(-1)


def real_pairs(clips: Clips) -> Pairs:
    """All transitions of clips with actions (N, T), from the newest frame of the context on."""
    steps = clips.horizon
    before, after = clips.frames[:, clips.context - 1 : -1], clips.target
    frames = np.stack([before, after], 2).reshape(-1, 2, *clips.frames.shape[2:])
    action = np.asarray(clips.action).reshape(-1)
    return Pairs(frames=frames, action=action, episode=np.repeat(clips.episode, steps))


def commanded_pairs(
    world: World,
    clips: Clips,
    slots: np.ndarray,
    keep: int | None,
    classes: int,
    sampling: Sampling,
    tick: Callable[[int], object] = lambda count: None,
) -> Pairs:
    """One step from every start of the clips under every action that occurs in them.

    Args:
      slots: (N, T, K, D) of the clips, as the world takes them.      keep: k; None for all.
    """
    pool = slots.reshape(-1, *slots.shape[2:])
    action = np.asarray(clips.action).reshape(-1)
    codes, occur = commanded(pool, action, len(clips), classes, sampling.seed)
    actions = len(occur)
    start = np.repeat(clips.start(world.history), actions, 0)
    made = generate(world, start, codes.reshape(-1, 1, *codes.shape[2:]), keep, sampling, tick=tick)
    frames = np.stack([np.repeat(clips.last, actions, 0), made[:, 0]], 1)
    return Pairs(
        frames=frames,
        action=np.tile(occur, len(clips)),
        episode=np.repeat(clips.episode, actions),
    )


def cell(reader: Reader, pairs: Pairs, classes: int) -> Number:
    """Balanced accuracy of a probe on transitions; chance is 1 / actions that occur."""
    return balanced(reader(pairs.frames), pairs.action, pairs.episode, classes)


def balanced(read: np.ndarray, wanted: np.ndarray, episode: np.ndarray, classes: int) -> Number:
    """Mean over the actions that occur of the share of their transitions that is read right.

    Args:
      read, wanted: int (M,).
    """
    return intervals.over_episodes(
        _tallies(read, wanted, classes), episode, _balanced, unit="balanced accuracy"
    )


def relative(
    generated: tuple[np.ndarray, Commanded], real: tuple[np.ndarray, Commanded], classes: int
) -> Number | None:
    """Obedience over what the same probe reads of real transitions, of the same episodes.

    None where the interval of the latter holds zero: there is nothing to compare with.

    Args:
      generated, real: (read actions (M,), the transitions).
    """
    read, pairs = real
    if balanced(read, pairs.action, pairs.episode, classes).low <= 0:
        return None
    parts = []
    for (read, pairs), other in ((generated, real), (real, generated)):
        own, none = _tallies(read, pairs.action, classes), np.zeros((len(other[0]), classes))
        parts.append({name: (value, none) for name, value in own.items()})
    values = {
        f"{kind}_{name}": np.concatenate(pair if kind == GENERATED else pair[::-1])
        for kind, part in zip((GENERATED, REAL), parts, strict=True)
        for name, pair in part.items()
    }
    episode = np.concatenate([generated[1].episode, real[1].episode])

    def ratio(sums: dict[str, np.ndarray]) -> np.ndarray:
        found = [
            _balanced({name: sums[f"{kind}_{name}"] for name in ("right", "of")})
            for kind in (GENERATED, REAL)
        ]
        return found[0] / np.maximum(found[1], 1e-12)

    return intervals.over_episodes(values, episode, ratio, unit="of the probe's own accuracy")


def of_same_code(ids: np.ndarray, real: Commanded, read: np.ndarray, classes: int) -> Number | None:
    """What obedience would be if real transitions with the commanded code stood for generated ones.

    A world that shows what really follows a code obeys as much: its code does not say more. None where
    no code occurs twice; transitions whose code occurs once are left out.

    Args:
      ids: int (M, k), the code of each real transition.      read: int (M,), what the probe reads of it.
    """
    code = np.unique(ids, axis=0, return_inverse=True)[1].reshape(-1)
    reads = np.eye(classes)[read]
    of_code = np.zeros((code.max() + 1, classes))
    np.add.at(of_code, code, reads)
    others = of_code[code] - reads  # Not the transition itself.
    count = others.sum(-1)
    if not (count > 0).any():
        return None
    of = np.eye(classes)[real.action] * (count > 0)[:, None]
    right = of * others / np.maximum(count, 1)[:, None]
    return intervals.over_episodes(
        {"right": right, "of": of}, real.episode, _balanced, unit="balanced accuracy"
    )


def recalls(read: np.ndarray, pairs: Pairs, classes: int) -> dict[int, Number]:
    """{action: share of its transitions that is read right} of the actions that occur."""
    found = {}
    for action in np.unique(pairs.action).tolist():
        own = pairs.action == action
        found[action] = share(read[own] == action, pairs.episode[own])
    return found


def share(hits: np.ndarray, episode: np.ndarray) -> Number:
    """Share of transitions (M,) that are hits, over episodes."""
    return intervals.over_episodes(
        {"hit": hits}, episode, lambda sums: sums["hit"] / sums["count"], unit="share"
    )


def _tallies(read: np.ndarray, wanted: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    of = np.eye(classes)[wanted]
    return {"right": of * (np.asarray(read) == wanted)[:, None], "of": of}


def _balanced(sums: Any) -> np.ndarray:
    """Of sums (R, A); actions that a resample lacks are left out of its mean."""
    there = sums["of"] > 0
    shares = np.where(there, sums["right"] / np.maximum(sums["of"], 1e-12), 0)
    return shares.sum(-1) / np.maximum(there.sum(-1), 1)
