"""What is trained: every sweep as a list of cases, which are data. Nothing runs here."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from flexlam_jax.linear.closed_forms import own_frame_threshold, supervision_threshold
from flexlam_jax.linear.generators import Controllable, ExBmdp, controllable, ex_bmdp
from flexlam_jax.linear.objective import Objective, nested
from flexlam_jax.linear.process import Process
from flexlam_jax.linear.training import Budget

SLOTS = 6  # actions and exogenous dimensions: all that an innovation has
WIDTH = 3  # as many as the action has
EXPECTED = Budget(steps=1000, learning_rate=0.05)
# Close to a threshold two orders gain almost the same.
NEAR = Budget(steps=4000, learning_rate=0.05)
SAMPLED = Budget(steps=3000, batch=128, learning_rate=0.03)
NOISE = (0.3, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """One setting of a sweep, trained with every seed.

    sweep, arm: names.   x: what the sweep varies.   prefixes: the numbers of slots that are measured.
    budget: how it is trained: on the expected loss, or on samples.
    """

    sweep: str
    arm: str
    x: float
    process: Controllable | ExBmdp
    objective: Objective
    prefixes: tuple[int, ...] = (WIDTH,)
    budget: Budget = EXPECTED

    def drawn(self, seed: int) -> Process:
        """The process with directions of this seed."""
        settings = dataclasses.replace(self.process, seed=seed)
        return ex_bmdp(settings) if isinstance(settings, ExBmdp) else controllable(settings)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """title, about: for the page.   x: what is varied."""

    name: str
    title: str
    x: str
    about: str


SWEEPS = (
    Sweep(
        "noise",
        "Strength of the noise",
        "standard deviation of w",
        "Ex-BMDP, three actions, three exogenous dimensions, three slots. A switch is where the "
        "exogenous variance passes that of the action.",
    ),
    Sweep(
        "process",
        "Isotropic noise and other agents",
        "size of the noise",
        "Controllable process: noise in all directions attenuates, other agents replace.",
    ),
    Sweep(
        "width",
        "Size of the latent",
        "slots",
        "Ex-BMDP, noise 0.5: slots beyond those of the action are filled with noise.",
    ),
    Sweep(
        "policy",
        "Predictable policies",
        "chi",
        "Ex-BMDP, noise 0.5, three slots: a = chi Pi s + (1 - chi) random.",
    ),
    Sweep(
        "labels",
        "Labels for a share of the transitions",
        "share times weight",
        "Ex-BMDP, noise 1.5, trained on samples: what counts is the product. The threshold is 1.25.",
    ),
    Sweep(
        "threshold",
        "Where the order turns",
        "weight over its predicted threshold",
        "Ex-BMDP. Action prediction at noise 1.5 and 2; one's own frame beside the partner's (nested, "
        "first three slots) at noise 2.",
    ),
    Sweep(
        "shift",
        "Augmentation",
        "E|kappa|^2",
        "Controllable process, noise 0.5: shifts of IDM inputs and of FDM input and target.",
    ),
    Sweep(
        "prefixes",
        "What each prefix says",
        "slots",
        "Ex-BMDP, six slots under nested dropout, every prefix alike likely.",
    ),
)


def cases(*, fast: bool = False) -> list[Case]:
    """All of them; with `fast` the ends of the first arm of each sweep, and nothing is learned."""
    every = (_noise, _process, _width, _policy, _labels, _threshold, _shift, _prefixes)
    found = [list(of()) for of in every]
    if not fast:
        return [case for of in found for case in of]
    arms = [[case for case in of if case.arm == of[0].arm] for of in found]
    ends = [case for of in arms for case in dict.fromkeys((of[0], of[-1]))]
    return [
        dataclasses.replace(case, budget=dataclasses.replace(case.budget, steps=10))
        for case in ends
    ]


def first(width: int, **settings: Any) -> Objective:
    """A code of `width`: the first of SLOTS slots, always. Codes of all widths are one program."""
    keep = tuple(float(k == width) for k in range(1, SLOTS + 1))
    return Objective(SLOTS, keep, **settings)


def _noise() -> Iterator[Case]:
    arms = {
        "reconstruction": ({}, {}),
        "predictable policy": ({"policy": 0.4}, {}),
        "action prediction": ({}, {"action": 2.0}),
        "partner's frame": ({}, {"own": 0.0, "cross": 1.0}),
        "endogenous": ({}, {"endogenous": True}),
    }
    for arm, (process, objective) in arms.items():
        for noise in NOISE:
            at = ExBmdp(noise=noise, **process)
            yield Case("noise", arm, noise, at, first(WIDTH, **objective))


def _process() -> Iterator[Case]:
    for noise in NOISE:
        isotropic = Controllable(noise=noise)
        yield Case("process", "isotropic noise", noise, isotropic, Objective(WIDTH))
    for noise in NOISE:
        yield Case("process", "other agents", noise, Controllable(others=noise), Objective(WIDTH))


def _width() -> Iterator[Case]:
    for width in range(1, SLOTS + 1):
        yield Case("width", "reconstruction", width, ExBmdp(noise=0.5), first(width), (width,))


def _policy() -> Iterator[Case]:
    for chi in (0.0, 0.2, 0.4, 0.6, 0.8):
        yield Case("policy", "reconstruction", chi, ExBmdp(noise=0.5, policy=chi), first(WIDTH))


def _labels() -> Iterator[Case]:
    for share in (0.05, 1.0):
        for product in (0.6, 1.0, 1.8, 3.0):
            objective = Objective(WIDTH, action=product / share, labelled=share)
            arm = f"{share:.0%} labelled"
            yield Case("labels", arm, product, ExBmdp(noise=1.5), objective, budget=SAMPLED)


def _threshold() -> Iterator[Case]:
    ratios = (0.8, 0.95, 1.05, 1.2)
    for noise in (1.5, 2.0):
        at = supervision_threshold(noise**2, 1.0, 1.0)
        for ratio in ratios:
            objective = first(WIDTH, action=at * ratio)
            arm = f"action prediction, noise {noise:g}"
            yield Case("threshold", arm, ratio, ExBmdp(noise=noise), objective, budget=NEAR)
    for shared in (False, True):
        at = own_frame_threshold(4.0, 1.0, 1.0, shared=shared)
        for ratio in ratios:
            arm = "own and partner's, one decoder" if shared else "own and partner's, two decoders"
            objective = Objective(SLOTS, nested(SLOTS), at * ratio, 1.0, shared)
            yield Case("threshold", arm, ratio, ExBmdp(noise=2.0), objective, budget=NEAR)


def _shift() -> Iterator[Case]:
    for shift in (0.0, 0.01, 0.1, 1.0):
        process = Controllable(noise=0.5)
        yield Case("shift", "reconstruction", shift, process, Objective(WIDTH, shift=shift))


def _prefixes() -> Iterator[Case]:
    remedies = {
        "variance": {},
        "action prediction": {"action": 5.0},
        "partner's frame, two decoders": {"own": 0.2, "cross": 1.0},
        "partner's frame, one decoder": {"own": 0.5, "cross": 1.0, "shared": True},
        "endogenous": {"endogenous": True},
    }
    every = tuple(range(1, SLOTS + 1))
    for name, remedy in remedies.items():
        objective = Objective(SLOTS, nested(SLOTS), **remedy)
        for noise in (0.5, 1.5, 2.0):
            arm = f"{name}, noise {noise:g}"
            yield Case("prefixes", arm, noise, ExBmdp(noise=noise), objective, every, NEAR)
