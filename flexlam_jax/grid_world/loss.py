"""What the grid world's model is trained by, as a pure function.

  L = mean (o^_{t+1} - o_{t+1})^2 + mean (sg(z) - e)^2 + 1/4 mean (z - sg(e))^2
      + l mean (z_1 - sg(e_a))^2 over labelled samples + r mean (sg(z_other) - e_unused)^2

e is the code nearest to z (arXiv 1711.00937). e_a is the code that stands for action a from the
beginning, to which the first slot is drawn (action prediction, arXiv 2506.15691). e_unused are codes
that no sample of the batch took: each is drawn to the z of a random sample, what stands here for the
revival of a codebook of moving averages.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flexlam_jax.grid_world.model import GridLam

COMMITMENT = 0.25


class Batch(NamedTuple):
    """What one update sees.

    Attributes:
      o, o_next: (B, 4, 4), what the inverse model reads.
      given, target: (B, 4, 4), what the forward model reads and is to say.
      action: (B,) int.
      label_weight: (B,), of which the mean over all data is 1, 0 where there is no label; or 0
        everywhere, where the model is not trained by labels.
      keep: (B,) int, slots that the forward model is told.
      other: (V,) int, a random row of all slots of the batch for each code.
    """

    o: jax.Array
    o_next: jax.Array
    given: jax.Array
    target: jax.Array
    action: jax.Array
    label_weight: jax.Array
    keep: jax.Array
    other: jax.Array


def loss(model: GridLam, params: Any, revive: jax.Array, batch: Batch) -> jax.Array:
    """The scalar L above; l is in the batch, `revive` is r."""
    variables = {"params": params}
    code = model.apply(variables, batch.o, batch.o_next, method="infer")
    predicted = model.apply(variables, batch.given, code.values, batch.keep, method="predict")
    codes, still = params["codebook"], jax.lax.stop_gradient
    nearest = codes[code.ids]
    to_label = jnp.square(code.z[:, 0] - still(codes)[batch.action]).mean(-1)
    unused = ~jax.nn.one_hot(code.ids.reshape(-1), len(codes), dtype=bool).any(0)
    others = still(code.z).reshape(-1, codes.shape[-1])[batch.other]
    return (
        jnp.square(predicted - batch.target).mean()
        + jnp.square(still(code.z) - nearest).mean()
        + COMMITMENT * jnp.square(code.z - still(nearest)).mean()
        + jnp.mean(to_label * batch.label_weight)
        + revive * jnp.mean(jnp.square(others - codes) * unused[:, None])
    )
