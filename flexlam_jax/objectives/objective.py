"""What the training loop needs to know of a model: how to initialise it, its loss, its cost."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.parallel.sharding import RULES, Rule

Variables = Mapping[str, Any]
Batch = Mapping[str, Any]  # {"frames": array, ...} or {stream: {"frames": array, ...}}
Metrics = Mapping[str, jax.Array]


@flax.struct.dataclass
class Mean:
    """A mean that is not divided yet, so that the parts of a batch add up to that of the whole.

    Attributes:
      sum: float32 scalar.
      weight: float32 scalar, what the sum is divided by: the number of its elements, or of those
        that a mask leaves.
    """

    sum: jax.Array
    weight: jax.Array

    @classmethod
    def of(cls, x: jax.Array, mask: jax.Array | None = None) -> "Mean":
        """Over all elements of x (...), or those where `mask`, broadcast to x, is true."""
        x = x.astype(jnp.float32)
        if mask is None:
            return cls(jnp.sum(x), jnp.float32(x.size))
        mask = jnp.broadcast_to(mask, x.shape)
        return cls(jnp.sum(jnp.where(mask, x, 0.0)), jnp.sum(mask, dtype=jnp.float32))

    @classmethod
    def weighted(cls, x: jax.Array, weight: jax.Array) -> "Mean":
        """Over all elements of x (...), each as often as `weight`, broadcast to x, says."""
        weight = jnp.broadcast_to(weight, x.shape).astype(jnp.float32)
        return cls(jnp.sum(x.astype(jnp.float32) * weight), jnp.sum(weight))

    @property
    def value(self) -> jax.Array:
        """sum / weight; 0 where the weight is 0."""
        return self.over(self.weight)

    def over(self, weight: jax.Array) -> jax.Array:
        """sum / weight of a larger whole that this is a part of; 0 where that is 0."""
        return jnp.where(weight == 0, 0.0, self.sum / jnp.where(weight == 0, 1.0, weight))


@flax.struct.dataclass
class Outcome:
    """What an objective finds in one batch or micro-batch.

    Attributes:
      terms: {term: Mean}, the parts of the loss; they are metrics too. A weight is a function of
        batch and key, not of the parameters: no gradient passes it.
      metrics: {metric: Mean} that the loss does not hold.
      totals: {name: array} that micro-batches add up, for `Objective.summary`.
      extra: the collections after this batch.
      shared: what an objective that this one is a part of asked for of the model's outputs, which it
        takes out; None for the loop.
    """

    terms: dict[str, Mean]
    metrics: dict[str, Mean] = flax.struct.field(default_factory=dict)
    totals: dict[str, jax.Array] = flax.struct.field(default_factory=dict)
    extra: Any = flax.struct.field(default_factory=dict)
    shared: Any = None


def _no_summary(totals: Mapping[str, jax.Array]) -> Metrics:
    return {}


@dataclasses.dataclass(frozen=True)
class Objective:
    """One trainable task. The loop knows nothing else about the model.

    The loss is the sum over terms of coefficient * sum / weight, sums and weights being those of
    all micro-batches of an update: however the batch is cut, the value is the same.

    Attributes:
      init: `(key, batch) -> {"params": tree, **extra}`. Must trace under `jax.eval_shape`: the loop
        only ever runs it inside jit, so that large models are born in their shards. `extra` are
        the collections that the loss updates but the optimizer does not train (the EMA codebook of
        VQ, for instance); most models have none.
      outcome: `(params, extra, batch, key) -> Outcome`. `key` is
        `flexlam_jax.random.stream(seed, step, "loss")`; derive named streams from it with
        `flexlam_jax.random.fold_name`.
      outcome_at: `step -> outcome` of that update, for a loss whose gradient changes in training, as
        with a warm-up; its terms are those of `outcome`, which evaluation runs. None: always
        `outcome`.
      coefficients: {term: float} of every term, summed in this order.
      summary: `totals -> {metric: scalar}`: what is no mean, as the share of codes in use.
      unsplittable: terms that no sums of micro-batches make up (CCA, a ratio over the batch);
        gradient accumulation is refused for them.
      detached: terms without a gradient to the model; see `Term.detached`.
      flops_per_row: FLOPs of forward and backward pass for one batch row, or {stream: FLOPs},
        without recomputation by remat. None: counted on the traced program; 0 leaves MFU out of
        the performance rows.
      transitions_per_row: transitions in one batch row, or {stream: number}.
      advice: {metric: what to do} of metrics that tell, where they are not finite, why training
        diverged.
      dtype: name of the type that the model computes in, for the peak that MFU is measured by.
      rules: where parameters are split; see parallel/sharding.py.
    """

    init: Callable[[jax.Array, Batch], Variables]
    outcome: Callable[[Any, Any, Batch, jax.Array], Outcome]
    coefficients: Mapping[str, float]
    outcome_at: Callable[[jax.Array], Callable[[Any, Any, Batch, jax.Array], Outcome]] | None = None
    summary: Callable[[Mapping[str, jax.Array]], Metrics] = _no_summary
    unsplittable: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    flops_per_row: float | Mapping[str, float] | None = None
    transitions_per_row: int | Mapping[str, int] = 1
    advice: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dtype: str = "float32"
    rules: tuple[Rule, ...] = RULES

    def at(self, step: jax.Array) -> "Objective":
        """The objective of one update, int32 (): the number of updates before it."""
        if self.outcome_at is None:
            return self
        return dataclasses.replace(self, outcome=self.outcome_at(step), outcome_at=None)

    def loss(self, terms: Mapping[str, Mean], weights: Mapping[str, Any] | None = None) -> Any:
        """The scalar to minimise; `weights` {term: of the whole update}, by default those here."""
        return _weighted(self.coefficients, terms, weights)

    @property
    def felt(self) -> dict[str, float]:
        """The coefficients of the terms that the model is trained by: all but detached ones."""
        return {k: v for k, v in self.coefficients.items() if k not in self.detached}

    def values(self, outcome: Outcome) -> dict[str, jax.Array]:
        """{metric: scalar} of a whole batch: terms, metrics, the summary of totals, and `loss`."""
        means = {**outcome.terms, **outcome.metrics}
        return {
            **{name: mean.value for name, mean in means.items()},
            **self.summary(outcome.totals),
            "loss": _weighted(self.felt, outcome.terms),
        }


def _weighted(
    coefficients: Mapping[str, float],
    terms: Mapping[str, Mean],
    weights: Mapping[str, Any] | None = None,
) -> Any:
    weights = jax.lax.stop_gradient(weights or weights_of(terms))
    total = None
    for name, coefficient in coefficients.items():
        value = coefficient * terms[name].over(weights[name])
        total = value if total is None else total + value
    return total


def weights_of(terms: Mapping[str, Mean]) -> dict[str, jax.Array]:
    """{term: weight}."""
    return {name: term.weight for name, term in terms.items()}
