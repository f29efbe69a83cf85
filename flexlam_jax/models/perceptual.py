"""How far apart two pictures look: LPIPS (Zhang et al. 2018, arXiv 1801.03924), equation 1.

Both pictures go through a network that was trained to classify; its features, of unit length at each
position, are compared at five depths. `weighted` multiplies the squared differences by one weight
per channel, which were fitted to what people judged; without, all count the same (the paper's
"baseline" of a network).

Dimension keys: B pictures, H W pixels, C channels.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.frames import to_float

# Mean and deviation of ImageNet's colours, of pictures in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # Added to lengths, as in the published code.
_TINY = 1e-30  # Below all squared lengths; keeps the gradient of a root finite where all is 0.


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution and its ReLU.

    Attributes:
      number: of the convolution in torchvision's `features`.      channels: of its output.
      kernel, stride, padding: of the convolution.      pool: side of the max pooling before it, with
        stride 2; 0 = none.      compared: whether the features behind the ReLU are compared.
    """

    number: int
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0
    compared: bool = True


@dataclasses.dataclass(frozen=True)
class Network:
    """The convolutions of a network for classification; `title` is its name in texts."""

    title: str
    layers: tuple[Layer, ...]

    @property
    def compared(self) -> tuple[int, ...]:
        """Channels of the features that are compared."""
        return tuple(layer.channels for layer in self.layers if layer.compared)

    @property
    def least(self) -> int:
        """The least side of a picture that leaves something to pool at every depth."""
        side = 1
        for layer in reversed(self.layers):
            side = max(1, (side - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            side = (side - 1) * 2 + layer.pool if layer.pool else side
        return side


def _vgg(*stages: tuple[int, int, int]) -> tuple[Layer, ...]:
    """Stages of (first number, channels, convolutions), each but the first behind a pooling; their
    last features are compared."""
    return tuple(
        Layer(first + 2 * i, channels, pool=2 * (first > 0 == i), compared=i == convolutions - 1)
        for first, channels, convolutions in stages
        for i in range(convolutions)
    )


NETWORKS = {
    "alexnet": Network(
        "AlexNet",
        (
            Layer(0, 64, kernel=11, stride=4, padding=2),
            Layer(3, 192, kernel=5, padding=2, pool=3),
            Layer(6, 384, pool=3),
            Layer(8, 256),
            Layer(10, 256),
        ),
    ),
    "vgg16": Network(
        "VGG16",
        _vgg((0, 64, 2), (5, 128, 2), (10, 256, 3), (17, 512, 3), (24, 512, 3)),
    ),
}


class Features(nn.Module):
    """Pictures (B, H, W, 3), normalised by ImageNet's colours -> the features that are compared."""

    network: Network

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        found = []
        for layer in self.network.layers:
            if layer.pool:
                x = nn.max_pool(x, (layer.pool, layer.pool), strides=(2, 2))
            x = nn.Conv(
                layer.channels,
                (layer.kernel, layer.kernel),
                layer.stride,
                layer.padding,
                name=f"conv_{layer.number}",
            )(x)
            x = nn.relu(x)
            if layer.compared:
                found.append(x)
        return found


class PerceptualDistance(nn.Module):
    """Frames x, y (B, H, W, C), uint8 or in [0, 1], C 1 or 3 -> distances (B,) float32, 0 for equal
    ones.

    Attributes:
      network: what makes the features.      weighted: whether channels have weights.
    """

    network: Network
    weighted: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        size = self.network.least
        if min(x.shape[1:3]) < size or x.shape[-1] not in (1, 3) or x.shape != y.shape:
            raise ValueError(
                f"{self.network.title} compares pictures of at least {size} x {size} pixels, grey or "
                f"RGB, of one shape; these are {x.shape} and {y.shape}"
            )
        pictures = jnp.concatenate([to_float(x), to_float(y)])
        pictures = (2 * pictures - 1 - jnp.asarray(_SHIFT)) / jnp.asarray(_SCALE)
        found = Features(self.network, name="features")(pictures)
        total = jnp.zeros(len(x), jnp.float32)
        for number, features in enumerate(found):
            one, other = jnp.split(_unit(features), 2)
            squared = jnp.square(one - other)
            if self.weighted:
                parts = nn.Dense(1, use_bias=False, name=f"lin_{number}")(squared)
            else:
                parts = squared.sum(-1, keepdims=True)
            total += parts.mean((1, 2, 3))
        return total


def _unit(features: jax.Array) -> jax.Array:
    """Features of unit length over channels at each position."""
    squared = jnp.square(features).sum(-1, keepdims=True)
    return features / (jnp.sqrt(jnp.maximum(squared, _TINY)) + _EPSILON)
