"""What the training loop needs to know of a model: how to initialise it, its loss, its cost."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

Variables = Mapping[str, Any]
Batch = Mapping[str, jax.Array]
Metrics = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
    """One trainable task. The loop knows nothing else about the model.

    Attributes:
      init: `(key, batch) -> {"params": tree, **extra}`. Must trace under `jax.eval_shape`: the loop
        only ever runs it inside jit, so that large models are born in their shards. `extra` are
        the collections that the loss updates but the optimizer does not train (the EMA codebook of
        VQ, for instance); most models have none.
      loss: `(params, extra, batch, key) -> (scalar, (metrics, extra))`. `key` is
        `flexlam_jax.random.stream(seed, step, "loss")`; derive named streams from it with
        `flexlam_jax.random.fold_name`. The scalar must be a mean over batch rows, so that gradient
        accumulation and any number of devices give the same value. `metrics` are scalars.
      flops_per_example: analytic FLOPs of forward and backward pass for one batch row, without
        recomputation by remat. 0 leaves MFU out of the performance rows.
    """

    init: Callable[[jax.Array, Batch], Variables]
    loss: Callable[[Any, Any, Batch, jax.Array], tuple[jax.Array, tuple[Metrics, Any]]]
    flops_per_example: float = 0.0
