"""Trains the models of one arm over strengths and seeds as one program, and encodes with them.

The models are those of experiments/configs/plant.py with their objective; the routine is that of
probes. Dimension keys: L models, N transitions, T instants of a clip, S columns, K slots.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs.plant import MODEL
from experiments.plant_study.arms import LEVELS, SUPERVISED, Arm
from experiments.plant_study.plants import PUMPS, Plants
from flexlam_jax.evaluation.small_fits import SmallFit, fit
from flexlam_jax.models.lam import LatentActionModel, build_lam
from flexlam_jax.models.vector_windows import windows
from flexlam_jax.models.vectors import Units
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.remedies.settings import EXOGENOUS_MASK
from flexlam_jax.objectives.vector_lam import Framing, vector_objective

_KEYS = "keys"


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each model is trained, and on how much; `share` of the steps is labelled."""

    steps: int = 800
    batch: int = 64
    learning_rate: float = 3e-3
    shifts: int = 24
    length: int = 400
    share: float = 0.01

    @property
    def transitions(self) -> int:
        return self.shifts * (self.length - 1)

    @property
    def labels(self) -> int:
        return max(2, round(self.share * self.transitions))


FAST = Budget(steps=10, batch=16, shifts=3, length=60, share=0.2)


@functools.cache
def _model(arm: Arm, scales: tuple[float, ...]) -> tuple[LatentActionModel, Objective]:
    parts = {
        part: {**MODEL[part], "scales": scales[: arm.columns]} for part in ("encoder", "decoder")
    }
    config = {**MODEL, **parts, "image_size": (arm.columns, arm.history)}
    model = build_lam(config)
    lam = lam_objective(model, config, {"mask": EXOGENOUS_MASK} if arm.masked else None)
    outside = tuple(range(LEVELS, arm.columns))
    return model, vector_objective(lam, Framing(Units((), ()), (), arm.history, outside))


def latents(
    arm: Arm,
    trained: Sequence[Plants],
    tested: Sequence[Plants],
    labelled: Sequence[np.ndarray],
    seeds: Sequence[int],
    budget: Budget,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Slots (N, K) of training and test transitions of every model.

    Args:
      trained, tested: L plants, all of one size.
      labelled: of each, which transitions have labels; read where the arm does.
      seeds: of each, for initialisation and batches.
    """
    scales = tuple(map(float, np.mean([one.scales for one in trained], axis=0)))
    model, objective = _model(arm, scales)
    count = len(trained[0].truth)
    data = {
        "state": jnp.asarray(np.concatenate([_seen(arm, one) for one in trained])),
        "action": jnp.asarray(np.concatenate([one.truth[:, PUMPS] for one in trained])),
    }
    # The labelled ones come first, and are drawn as often as others.
    rows = [
        number * count + np.concatenate([chosen, np.setdiff1d(np.arange(count), chosen)])
        for number, chosen in enumerate(labelled)
    ]
    params, fixed = fit(
        _problem(arm, scales, budget),
        data,
        np.stack(rows),
        count,
        np.asarray(seeds),
        steps=budget.steps,
        learning_rate=budget.learning_rate,
    )
    del fixed
    encode = _encoder(model, arm)
    found = []
    for number, plants in enumerate(zip(trained, tested, strict=True)):
        mine = jax.tree.map(lambda x, number=number: x[number], params["lam"])
        found.append(tuple(np.asarray(encode(mine, _seen(arm, one))) for one in plants))
    return found


def _seen(arm: Arm, plants: Plants) -> np.ndarray:
    """Clips (N, T, S), as far back as the arm reads."""
    return plants.clips[:, -(arm.history + 1) :, : arm.columns]


@functools.cache
def _encoder(model: LatentActionModel, arm: Arm) -> Any:
    def encode(params: Any, clips: jax.Array) -> jax.Array:
        frames = windows(clips, arm.history)
        slots, _ = model.apply({"params": params}, frames[:, -2:], method="encode")
        return slots[:, -1, :, 0]

    return jax.jit(encode)


@functools.cache
def _problem(arm: Arm, scales: tuple[float, ...], budget: Budget) -> SmallFit:
    model, objective = _model(arm, scales)

    def init(key: jax.Array, data: Any, rows: jax.Array, count: jax.Array) -> tuple[Any, Any]:
        del count
        params = {"lam": objective.init(key, {"state": data["state"][:1]})["params"]}
        if arm.labels:
            width = SUPERVISED + arm.columns
            params["head"] = {"kernel": jnp.zeros((width, 2)), "bias": jnp.zeros(2)}
        first = rows[: budget.labels]
        action = data["action"][first]
        return params, {"state": data["state"][first], "action": action / action.std(0)}

    def draw(data: Any, rows: jax.Array, key: jax.Array) -> Any:
        return {"state": data["state"][rows], _KEYS: key}

    def loss(params: Any, fixed: Any, batch: Any) -> jax.Array:
        outcome = objective.outcome(params["lam"], {}, {"state": batch["state"]}, batch[_KEYS])
        total = objective.loss(outcome.terms)
        if not arm.labels:
            return total
        # The head reads o_t too, so that the slots need not say what o_t tells.
        frames = windows(fixed["state"], arm.history)[:, -2:]
        slots, _ = model.apply({"params": params["lam"]}, frames, method="encode")
        level = fixed["state"][:, -2] / jnp.asarray(scales[: arm.columns])
        read = jnp.concatenate([slots[:, -1, :SUPERVISED, 0], level], -1)
        told = read @ params["head"]["kernel"] + params["head"]["bias"]
        return total + arm.labels * jnp.square(told - fixed["action"]).mean()

    return SmallFit(init, loss, draw, batch_size=budget.batch, decays=lambda path: False)
