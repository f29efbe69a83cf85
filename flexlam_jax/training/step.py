"""One update as a pure function of (state, batch); jit, shardings and donation are the loop's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flexlam_jax.checkpoints.fingerprint import batch_fingerprint
from flexlam_jax.objectives.objective import Batch, Objective
from flexlam_jax.parallel import sharding
from flexlam_jax.random import stream
from flexlam_jax.training.augmentation import Augment
from flexlam_jax.training.state import TrainState

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
      accumulate: micro-batches per update, run one after the other by `lax.scan`: gradients, loss
        and metrics are their means, so a model that treats rows alone sees no difference but other
        random draws. A VQ codebook moves once per micro-batch, and what depends on the size of a
        batch, as the share of codes in it, is that of a micro-batch.
      ema_decay: per-step decay of the parameter average, 0 = off. It is warmed up as
        min(decay, (1 + step) / (10 + step)), so that short runs do not average the initial noise.
      augment: `(batch, key) -> batch`, applied to the whole global batch, before micro-batches are
        cut; its key is the stream "augmentation" of (seed, step).

    Returns:
      The step. Its metrics are the objective's, plus `loss`, `grad_norm` (before clipping),
      `learning_rate`, `batch` (uint32, which rows: see `batch_fingerprint`), and `finite`: False
      when loss or gradient is not, that is, when the returned state must not be kept.
    """

    def train_step(state: TrainState, batch: Batch):
        key = stream(seed, state.step, "loss")
        rows = batch_fingerprint(batch)
        if augment is not None:
            batch = augment(batch, stream(seed, state.step, "augmentation"))
        grads, loss, metrics, extra = _gradients(objective, state, batch, key, accumulate)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        grad_norm = optax.tree.norm(grads)
        metrics = dict(
            metrics,
            loss=loss,
            grad_norm=grad_norm,
            learning_rate=schedule(state.step),
            batch=rows,
            finite=jnp.isfinite(loss) & jnp.isfinite(grad_norm),
        )
        return TrainState(
            step=state.step + 1,
            params=params,
            extra=extra,
            opt_state=opt_state,
            ema=_average(state, params, ema_decay),
        ), metrics

    return train_step


def _gradients(
    objective: Objective, state: TrainState, batch: Batch, key: jax.Array, accumulate: int
) -> tuple[Any, jax.Array, Any, Any]:
    """(gradients, loss, metrics, extra), each a mean over micro-batches except `extra`."""
    gradient = jax.value_and_grad(objective.loss, has_aux=True)
    if accumulate == 1:
        (loss, (metrics, extra)), grads = gradient(state.params, state.extra, batch, key)
        return grads, loss, metrics, extra

    def micro_step(carry, inputs):
        total, extra = carry
        micro_batch, number = inputs
        (loss, (metrics, extra)), grads = gradient(
            state.params, extra, micro_batch, jax.random.fold_in(key, number)
        )
        new = (grads, loss, metrics)
        return (jax.tree.map(jnp.add, total, new), extra), None

    micro_batches = sharding.constrain_microbatches(
        jax.tree.map(lambda x: _split(x, accumulate), dict(batch))
    )
    first = jax.tree.map(lambda x: x[0], micro_batches)
    (loss, (metrics, _)), grads = jax.eval_shape(gradient, state.params, state.extra, first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, loss, metrics))
    (total, extra), _ = jax.lax.scan(
        micro_step, (zeros, state.extra), (micro_batches, jnp.arange(accumulate))
    )
    grads, loss, metrics = jax.tree.map(lambda x: x / accumulate, total)
    return grads, loss, metrics, extra


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
