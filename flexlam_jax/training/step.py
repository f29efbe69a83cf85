"""One update as a pure function of (state, batch); jit, shardings and donation are the loop's."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flexlam_jax.checkpoints.fingerprint import batch_fingerprint
from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Batch, Objective, Outcome, weights_of
from flexlam_jax.parallel import sharding
from flexlam_jax.random import stream
from flexlam_jax.training.augmentation import Augment
from flexlam_jax.training.frozen import with_frozen
from flexlam_jax.training.optimizer import without_detached
from flexlam_jax.training.state import TrainState, zeros_like

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    seed: int,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    augment: Augment | None = None,
) -> TrainStep:
    """Builds `train_step(state, batch) -> (state, metrics)`.

    Args:
      accumulate: micro-batches per update, run one after the other by `lax.scan`. Sums and weights
        of the terms add up, and every micro-batch divides by the weights of the whole update, so
        that loss, metrics and gradients are those of the uncut batch, masked terms included; only
        random draws differ. A VQ codebook moves once per micro-batch.
      ema_decay: per-step decay of the parameter average, 0 = off. It is warmed up as
        min(decay, (1 + step) / (10 + step)), so that short runs do not average the initial noise.
      augment: `(batch, key) -> batch`, applied to the whole global batch, before micro-batches are
        cut; its key is the stream "augmentation" of (seed, step).

    Returns:
      The step. Its metrics are the objective's, plus `loss`, `grad_norm` (before clipping),
      `learning_rate`, `batch` (uint32, which rows: see `batch_fingerprint`), and `finite`: False
      when loss or gradient is not, that is, when the returned state must not be kept.

    Raises:
      ConfigError: `accumulate` with a term that cannot be split.
    """
    check_splittable(objective, accumulate)

    def train_step(state: TrainState, batch: Batch):
        key = stream(seed, state.step, "loss")
        rows = batch_fingerprint(batch)
        if augment is not None:
            batch = augment(batch, stream(seed, state.step, "augmentation"))
        trained = with_frozen(objective.at(state.step), state.frozen)
        grads, outcome = _update(trained, state, batch, key, accumulate)
        metrics = objective.values(outcome)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        felt, apart = without_detached(grads)
        grad_norm = optax.tree.norm(felt)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(grad_norm)
        if apart is not None:
            finite &= jnp.isfinite(optax.tree.norm(apart))
        metrics = dict(
            metrics,
            grad_norm=grad_norm,
            learning_rate=schedule(state.step),
            batch=rows,
            finite=finite,
        )
        return TrainState(
            step=state.step + 1,
            params=params,
            extra=outcome.extra,
            opt_state=opt_state,
            ema=_average(state, params, ema_decay),
            frozen=state.frozen,
        ), metrics

    return train_step


def check_splittable(objective: Objective, accumulate: int) -> None:
    """Raises ConfigError for accumulation with a term that micro-batches do not make up."""
    if accumulate > 1 and objective.unsplittable:
        raise ConfigError(
            f"optimizer.accumulate={accumulate} cuts the batch, and the loss term "
            f"{', '.join(objective.unsplittable)} is a function of the whole batch: set "
            "config.optimizer.accumulate=1 and, if that does not fit, a smaller config.batch_size, "
            "config.model.remat=full or more devices; or leave the term out."
        )


def _update(
    objective: Objective, state: TrainState, batch: Batch, key: jax.Array, accumulate: int
) -> tuple[Any, Outcome]:
    """(gradients of the loss, outcome) of the whole batch."""
    gradient = jax.grad(functools.partial(_loss, objective), has_aux=True)
    if accumulate == 1:
        return gradient(state.params, state.extra, batch, key, None)
    micro_batches = sharding.constrain_microbatches(
        jax.tree.map(lambda x: _split(x, accumulate), batch)
    )
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(accumulate))
    weights = _weights(objective, state, (micro_batches, keys))

    def micro_step(carry, inputs):
        total, extra = carry
        grads, outcome = gradient(state.params, extra, *inputs, weights)
        new = (grads, outcome.replace(extra=None))
        return (jax.tree.map(jnp.add, total, new), outcome.extra), None

    first = jax.tree.map(lambda x: x[0], (micro_batches, keys))
    grads, outcome = jax.eval_shape(gradient, state.params, state.extra, *first, weights)
    zeros = zeros_like((grads, outcome.replace(extra=None)))
    ((grads, outcome), extra), _ = jax.lax.scan(
        micro_step, (zeros, state.extra), (micro_batches, keys)
    )
    return grads, outcome.replace(extra=extra)


def _weights(objective: Objective, state: TrainState, inputs: Any) -> dict[str, jax.Array]:
    """{term: weight} of the whole update, by which every micro-batch divides its sum.

    One pass over the micro-batches that returns weights alone: they depend on batch and key, so the
    compiler drops the model from it and little but the sampling of masks is computed twice. A
    weight that does depend on the model costs another forward pass.
    """

    def one(total, micro):
        outcome = objective.outcome(state.params, state.extra, *micro)
        return jax.tree.map(jnp.add, total, weights_of(outcome.terms)), None

    zeros = {name: jnp.zeros((), jnp.float32) for name in objective.coefficients}
    return jax.lax.scan(one, zeros, inputs)[0]


def _loss(
    objective: Objective, params: Any, extra: Any, batch: Batch, key: jax.Array, weights: Any
) -> tuple[jax.Array, Outcome]:
    outcome = objective.outcome(params, extra, batch, key)
    return objective.loss(outcome.terms, weights), outcome


def _split(x: jax.Array, parts: int) -> jax.Array:
    """(B, ...) -> (parts, B / parts, ...), row i into part i % parts.

    Strided, because each device holds a contiguous block of rows: every micro-batch then takes an
    equal share of every device's rows and nothing moves between devices.
    """
    return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)


def _average(state: TrainState, params: Any, decay: float) -> Any:
    if state.ema is None:
        return None
    decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, params)
