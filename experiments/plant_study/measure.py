"""The parts of the study as rows of numbers: plants, models, what is read from each."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.plant_study.arms import ARMS, LEVELS
from experiments.plant_study.fits import Budget, latents
from experiments.plant_study.plants import Plants, plants
from experiments.plant_study.scores import observations, principal_slots, told

HISTORY = max(arm.history for arm in ARMS)
LINEAR, BASELINES = "closed form", "baselines"
PARTS = (BASELINES, *(arm.name for arm in ARMS))


class Cases:
    """The plants of all strengths and seeds. A seed decides the plant, which steps are labelled, and
    the training."""

    def __init__(self, strengths: Sequence[float], seeds: Sequence[int], budget: Budget):
        self._of = [(strength, seed) for strength in strengths for seed in seeds]
        self._budget = budget

    @functools.cached_property
    def _plants(self) -> tuple[list[Plants], list[Plants]]:
        """Of training, and of test."""
        sizes = self._budget.shifts, self._budget.length, HISTORY
        made = [plants(strength, seed, *sizes) for strength, seed in self._of]
        return [one[0] for one in made], [one[1] for one in made]

    @functools.cached_property
    def _labelled(self) -> list[np.ndarray]:
        return [
            np.random.default_rng([seed, 5]).permutation(len(train.truth))[: self._budget.labels]
            for (_, seed), train in zip(self._of, self._plants[0], strict=True)
        ]

    def rows(self, part: str) -> list[dict[str, Any]]:
        """A row {"strength", "seed", "arm", "k" or "slot" or neither, and of `scores.told`} for every
        prefix and single slot of a model, and for observations without one."""
        if part == BASELINES:
            return list(self._baselines())
        (arm,) = (one for one in ARMS if one.name == part)
        seeds = [seed for _, seed in self._of]
        codes = latents(arm, *self._plants, self._labelled, seeds, self._budget)
        both = self._plants
        if arm.columns > LEVELS:
            both = tuple([one.as_observed() for one in plants] for plants in both)
        return list(self._of_codes(part, codes, *both))

    def _baselines(self) -> Iterator[dict[str, Any]]:
        both = list(zip(*self._plants, strict=True))
        cases = zip(self._of, both, self._labelled, strict=True)
        for (strength, seed), (train, test), chosen in cases:
            seen = zip(observations(train), observations(test), strict=True)
            for (name, one), (_, other) in seen:
                about = {"strength": strength, "seed": seed, "arm": name}
                yield {**about, **told(one, train, other, test, chosen)}
        yield from self._of_codes(LINEAR, [principal_slots(*one) for one in both], *self._plants)

    def _of_codes(
        self,
        name: str,
        codes: Sequence[tuple[np.ndarray, np.ndarray]],
        trained: Sequence[Plants],
        tested: Sequence[Plants],
    ) -> Iterator[dict[str, Any]]:
        cases = zip(self._of, codes, trained, tested, self._labelled, strict=True)
        for (strength, seed), (fitted, held), train, test, chosen in cases:
            about = {"strength": strength, "seed": seed, "arm": name}
            for k in range(1, fitted.shape[1] + 1):
                for key, columns in (("k", slice(0, k)), ("slot", slice(k - 1, k))):
                    found = told(fitted[:, columns], train, held[:, columns], test, chosen)
                    yield {**about, key: k, **found}
