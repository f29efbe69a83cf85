"""The two processes of the linear study, drawn from a seed."""

import dataclasses

import numpy as np

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, SEED, SHARE_BELOW_1, real
from flexlam_jax.config.settings import check, setting
from flexlam_jax.linear.process import Process, orthonormal

CORRELATION = real(0, 1)


@dataclasses.dataclass(frozen=True)
class Controllable:
    """o' = o + X a + eps, with o ~ N(0, I), X orthonormal times `scale`.

    a = chi Pi_d o + (1 - chi) pi_s with pi_s ~ N(0, I), Pi_d orthonormal rows. eps is isotropic
    noise and other agents: eps = noise n + others Y b, with Y as X is, and b a policy as a is.

    Source: arXiv 2506.15691, section 3 (there 128 dimensions, 8 actions, 8 others).
    """

    observation: int = setting(16, range=COUNT, help="dimensions of o")
    actions: int = setting(3, range=COUNT, help="dimensions of a")
    scale: float = setting(1.0, range=real(0, above=True), help="change by an action of size 1")
    noise: float = setting(0.0, range=real(), help="standard deviation of isotropic noise")
    others: float = setting(0.0, range=real(), help="size of what other agents change")
    other_actions: int = setting(3, range=COUNT_OR_NONE, help="dimensions of b")
    policy: float = setting(0.0, range=CORRELATION, help="chi, how much o decides of a")
    other_policy: float = setting(0.0, range=CORRELATION, help="chi of the other agents")
    seed: int = setting(0, range=SEED, help="of all directions")


@dataclasses.dataclass(frozen=True)
class ExBmdp:
    """o = U_s s + U_xi xi, s' = s + X a, xi' = R xi + w: an exogenous block MDP that is linear.

    s ~ N(0, I), w ~ N(0, noise^2 I), xi stationary, R orthonormal times `memory`, X orthonormal times
    `scale`, a = chi Pi s + (1 - chi) pi_s. U = [U_s, U_xi] has orthonormal columns; with `overlap`
    every column of U_xi is tilted towards what an action moves.

    Source: arXiv 2110.08847; the linear form is ours.
    """

    observation: int = setting(16, range=COUNT, help="dimensions of o")
    state: int = setting(4, range=COUNT, help="dimensions of s")
    actions: int = setting(3, range=COUNT, help="dimensions of a")
    world: int = setting(3, range=COUNT, help="dimensions of xi and w")
    scale: float = setting(1.0, range=real(0, above=True), help="change by an action of size 1")
    noise: float = setting(1.0, range=real(0, above=True), help="standard deviation of w")
    memory: float = setting(0.5, range=SHARE_BELOW_1, help="how much of xi stays")
    policy: float = setting(0.0, range=CORRELATION, help="chi, how much s decides of a")
    overlap: float = setting(0.0, range=SHARE_BELOW_1, help="cosine between U_xi and U_s X")
    seed: int = setting(0, range=SEED, help="of all directions")


def controllable(settings: Controllable) -> Process:
    """The controllable process. g = (o, pi_s, pi_b, n).

    Raises:
      ConfigError: a setting out of its range.   UserError: more actions than dimensions.
    """
    check(dataclasses.asdict(settings), Controllable)
    rng = np.random.default_rng(settings.seed)
    size, own, other = settings.observation, settings.actions, settings.other_actions
    directions = orthonormal(rng, size, own) * settings.scale
    policy = orthonormal(rng, size, own).T
    o, random, random_other, noise = _blocks(size, own, other, size)
    action = settings.policy * policy @ o + (1 - settings.policy) * random
    change = directions @ action
    exogenous = settings.noise * noise
    if other:
        others = orthonormal(rng, size, other) * settings.others
        their_policy = orthonormal(rng, size, other).T
        chi = settings.other_policy
        exogenous = exogenous + others @ (chi * their_policy @ o + (1 - chi) * random_other)
    of_world = np.repeat([False, True], [size + own, other + size])
    return Process(o, o + change + exogenous, action, change, exogenous, of_world)


def ex_bmdp(settings: ExBmdp) -> Process:
    """The exogenous block MDP. g = (s, pi_s, xi, w).

    Raises:
      ConfigError: a setting out of its range.   UserError: more directions than dimensions.
    """
    check(dataclasses.asdict(settings), ExBmdp)
    rng = np.random.default_rng(settings.seed)
    inner, own, world = settings.state, settings.actions, settings.world
    basis = orthonormal(rng, settings.observation, inner + world)
    directions = orthonormal(rng, inner, own) * settings.scale
    policy = orthonormal(rng, inner, own).T
    seen_state, seen_world = basis[:, :inner], basis[:, inner:]
    tilt = seen_state @ directions[:, np.arange(world) % own] / settings.scale
    seen_world = settings.overlap * tilt + np.sqrt(1 - settings.overlap**2) * seen_world
    memory = settings.memory * orthonormal(rng, world, world)
    s, random, xi, w = _blocks(inner, own, world, world)
    xi = settings.noise / np.sqrt(1 - settings.memory**2) * xi
    action = settings.policy * policy @ s + (1 - settings.policy) * random
    change = seen_state @ directions @ action
    exogenous = settings.noise * seen_world @ w
    now = seen_state @ s + seen_world @ xi
    following = seen_state @ s + change + seen_world @ memory @ xi + exogenous
    of_world = np.repeat([False, True], [inner + own, 2 * world])
    keeps = np.linalg.pinv(np.concatenate([seen_state, seen_world], 1))[:inner]
    return Process(now, following, action, change, exogenous, of_world, seen_state @ keeps)


def _blocks(*sizes: int) -> list[np.ndarray]:
    """Maps of g to its consecutive parts of these sizes."""
    return np.split(np.eye(sum(sizes)), np.cumsum(sizes)[:-1])
