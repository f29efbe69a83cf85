"""A latent action model of the grid world: convolutional inverse model, VQ, UNet forward model.

Sizes are ours, the paper (arXiv 2506.15691) does not tell them. A convolution is written as one
matrix product over the 3x3 surroundings of each cell: many such models side by side are then batched
matrix products, which a CPU does much faster than grouped convolutions.

Dimension keys: B batch, H x W cells, C channels, K slots, D slot width, V codes.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.models.quantizers.vq import assign


class Conv(nn.Module):
    """3x3 convolution of (B, H, W, C) with zeros outside -> (B, H, W, features)."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        _, height, width, _ = x.shape
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        around = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return nn.Dense(self.features)(jnp.concatenate(around, axis=-1))


class Inverse(nn.Module):
    """Frames (B, 4, 4) twice -> slots (B, K, D), not yet quantised.

    The largest value of each channel over the cells is what is left of a picture, so that a move is
    the same anywhere.
    """

    slots: int
    width: int
    channels: int

    @nn.compact
    def __call__(self, o: jax.Array, o_next: jax.Array) -> jax.Array:
        x = jnp.stack([o, o_next], axis=-1)
        for _ in range(2):
            x = nn.relu(Conv(self.channels)(x))
        x = nn.relu(nn.Dense(4 * self.channels)(x.max((1, 2))))
        return nn.Dense(self.slots * self.width)(x).reshape(len(x), self.slots, self.width)


class Forward(nn.Module):
    """A frame (B, 4, 4) and slots (B, K, D) -> the next frame (B, 4, 4).

    A UNet: from cells to blocks of 2x2 and to one vector of the whole, and back, with what was known
    of the cells added. The code is added on the way down.
    """

    channels: int

    @nn.compact
    def __call__(self, o: jax.Array, slots: jax.Array) -> jax.Array:
        batch, height, width = o.shape
        rows, columns, fine = height // 2, width // 2, self.channels
        code = slots.reshape(batch, -1)
        cells = nn.relu(Conv(fine)(o[..., None]) + nn.Dense(fine)(code)[:, None, None])
        x = cells.reshape(batch, rows, 2, columns, 2, fine).swapaxes(2, 3)
        x = nn.relu(nn.Dense(2 * fine)(x.reshape(batch, rows, columns, -1)))
        x = x.reshape(batch, -1)
        x = nn.relu(nn.Dense(x.shape[-1])(x) + nn.Dense(x.shape[-1])(code))
        x = nn.Dense(4 * fine)(x.reshape(batch, rows, columns, -1))
        x = x.reshape(batch, rows, columns, 2, 2, fine).swapaxes(2, 3)
        x = nn.relu(cells + x.reshape(batch, height, width, fine))
        return nn.Dense(1)(nn.relu(Conv(fine)(x)))[..., 0]


@flax.struct.dataclass
class Inferred:
    """z (B, K, D) before, values after quantisation (straight through), ids (B, K)."""

    z: jax.Array
    values: jax.Array
    ids: jax.Array


class GridLam(nn.Module):
    """Inverse and forward model, and the codebook (V, D), which all slots share.

    The codebook is a parameter, moved by gradients as in arXiv 1711.00937, equation 3: so the model
    has no state beside its parameters, and many are trained as one.
    """

    slots: int = 1
    codes: int = 5
    width: int = 8
    channels: int = 16

    def setup(self) -> None:
        self.inverse_model = Inverse(self.slots, self.width, self.channels)
        self.forward_model = Forward(self.channels)
        shape = (self.codes, self.width)
        self.codebook = self.param("codebook", nn.initializers.normal(1.0), shape)
        self.null = self.param("null", nn.initializers.zeros, (self.width,))

    def infer(self, o: jax.Array, o_next: jax.Array) -> Inferred:
        """Frames (B, 4, 4) -> the code of what happens between them."""
        z = self.inverse_model(o, o_next)
        ids = assign(jax.lax.stop_gradient(z).reshape(-1, self.width), self.codebook)
        ids = ids.reshape(z.shape[:-1])
        values = z + jax.lax.stop_gradient(self.codebook[ids] - z)
        return Inferred(z, values, ids)

    def predict(self, o: jax.Array, values: jax.Array, keep: jax.Array) -> jax.Array:
        """Frame (B, 4, 4) and slots (B, K, D), of which (B,) `keep` are told -> next frame."""
        return self.forward_model(o, null_fill(values, keep, self.null))

    def __call__(self, o: jax.Array, o_next: jax.Array) -> jax.Array:
        values = self.infer(o, o_next).values
        return self.predict(o, values, jnp.full(len(o), self.slots))


def initial_params(model: GridLam, key: jax.Array, spread: jax.Array | float) -> Any:
    """The parameters of `model`, all from one draw, which compiles in a tenth of the time of many.

    Kernels are uniform with variance 1 / fan-in, codes with deviation `spread`; the rest is 0.
    """
    frame = jax.ShapeDtypeStruct((1, 4, 4), jnp.float32)
    shapes = jax.eval_shape(model.init, key, frame, frame)["params"]
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes)]
    numbers = jax.random.uniform(key, (sum(sizes),), minval=-1, maxval=1) * 3**0.5
    pieces = iter(jnp.split(numbers, np.cumsum(sizes)[:-1]))

    def scaled(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name, mine = path[-1].key, next(pieces).reshape(leaf.shape)
        factors = {"kernel": leaf.shape[0] ** -0.5, "codebook": spread}
        return mine * factors.get(name, 0.0)

    return jax.tree_util.tree_map_with_path(scaled, shapes)
