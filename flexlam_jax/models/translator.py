"""The translator: a small network from a latent action prefix to an action."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Translator(nn.Module):
    """MLP (or, with hidden = 0, a linear map) from flat features to action outputs.

    The features of a latent action are its null-filled slots, flattened: the translator sees
    exactly what the decoder sees. Inputs are standardised and outputs rescaled by the collection
    "statistics" {mean, scale (F,), target_mean, target_scale (outputs,)}, which the fit fills in;
    it is no trained parameter but travels with the weights.

    Attributes:
      outputs: logits of a discrete action, or dimensions of a continuous one.
      hidden: width of the one hidden layer; 0 leaves it out.
    """

    outputs: int
    hidden: int = 64

    @nn.compact
    def __call__(self, features_BF: jax.Array) -> jax.Array:
        """(..., F) float features -> (..., outputs) float32 logits or action."""
        width = features_BF.shape[-1]

        def statistic(name, initial, size):
            return self.variable("statistics", name, initial, (size,)).value

        x = features_BF.astype(jnp.float32)
        x = (x - statistic("mean", jnp.zeros, width)) / statistic("scale", jnp.ones, width)
        if self.hidden:
            x = nn.relu(
                nn.Dense(self.hidden, kernel_init=nn.initializers.he_normal(), name="in")(x)
            )
        x = nn.Dense(self.outputs, kernel_init=nn.initializers.normal(1e-2), name="out")(x)
        return x * statistic("target_scale", jnp.ones, self.outputs) + statistic(
            "target_mean", jnp.zeros, self.outputs
        )


def prefix_features(codes_BKD: jax.Array) -> jax.Array:
    """Null-filled slots (..., K, D) -> the translator's features (..., K * D)."""
    return codes_BKD.reshape(*codes_BKD.shape[:-2], -1)
