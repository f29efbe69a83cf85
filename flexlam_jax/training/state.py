"""The train state: everything that a checkpoint must hold and a step may change."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from flexlam_jax.checkpoints.subtrees import merge
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.random import stream
from flexlam_jax.training.frozen import part


@flax.struct.dataclass
class TrainState:
    """All of a run's state on the device, one pytree.

    Attributes:
      step: int32 scalar, the number of updates done.
      params: trained parameters, float32.
      extra: collections the loss updates and the optimizer does not train ({} for most models).
      opt_state: optimizer state, float32.
      ema: exponential moving average of `params`, or None when it is off.
      frozen: parameters that the loss reads beside `params` and no update changes, or None; see
        frozen.py.
    """

    step: jax.Array
    params: Any
    extra: Any
    opt_state: Any
    ema: Any = None
    frozen: Any = None

    @property
    def variables(self) -> dict[str, Any]:
        """{"params": ..., **extra}: what a Linen module applies, averaged where EMA is on."""
        params = self.params if self.ema is None else self.ema
        return {"params": merge(params, self.frozen), **self.extra}


def create_state(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batch: Any,
    *,
    seed: int,
    ema: bool,
    frozen: Sequence[str] = (),
) -> TrainState:
    """A fresh state. Trace it with `jax.eval_shape`, or jit it with `out_shardings`.

    Args:
      frozen: paths of the parameters that are not trained.
    """
    variables = dict(objective.init(stream(seed, 0, "init"), batch))
    params, still = part(variables.pop("params"), frozen)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        extra=variables,
        opt_state=optimizer.init(params),
        # A copy: the same buffer twice in a donated state would be donated twice.
        ema=jax.tree.map(jnp.copy, params) if ema else None,
        frozen=still,
    )


def zeros_like(abstract: Any) -> Any:
    """Zero arrays for a tree of ShapeDtypeStructs; only their shapes and dtypes matter."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), abstract)
