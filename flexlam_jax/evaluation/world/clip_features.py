"""A feature space of clips that needs no download: a convolutional network of fixed random weights.

Features of a trained encoder would favour the model that was trained with it, and those of FVD's
network need a file that this package does not have. Random filters see colours, edges, textures and,
because each frame comes with its change, where and how much something moves; they know no objects.
The space is named RANDOM_CONV and never changes: its weights are drawn by NumPy's legacy generator,
whose numbers are the same in every version.

Dimension keys: N clips, T frames, H W C frame.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.frames import to_float

RANDOM_CONV = "random_conv_v1"
LAYERS = ((32, 4, 2), (64, 3, 2), (24, 3, 2))  # (channels, side of the filters, stride)
WIDTH = 2 * LAYERS[-1][0]  # of a clip: mean and standard deviation over its frames
_CLIPS = 16  # at once


def clip_features(frames: np.ndarray) -> np.ndarray:
    """float64 (N, WIDTH) of clips uint8 (N, T, H, W, C), T >= 2.

    Each frame o_{t+1} and its change o_{t+1} - o_t go through three random layers with ReLU and are
    averaged over the picture; of the T - 1 results, mean and standard deviation.
    """
    size = min(_CLIPS, len(frames))
    parts = []
    for first in range(0, len(frames), size):
        piece = frames[first : first + size]
        padded = np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), 0)])
        parts.append(np.asarray(_features(padded))[: len(piece)])
    return np.concatenate(parts).astype(np.float64)


@jax.jit
def _features(frames: jax.Array) -> jax.Array:
    x = to_float(frames)
    N, T, H, W, C = x.shape
    x = jnp.concatenate([x[:, 1:] - 0.5, x[:, 1:] - x[:, :-1]], -1).reshape(-1, H, W, 2 * C)
    for weights, (_, _, stride) in zip(_weights(2 * C), LAYERS, strict=True):
        x = jax.lax.conv_general_dilated(
            x,
            jnp.asarray(weights),
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        x = jax.nn.relu(x)
    x = x.mean((1, 2)).reshape(N, T - 1, -1)
    return jnp.concatenate([x.mean(1), x.std(1)], -1)


@functools.cache
def _weights(channels: int) -> tuple[np.ndarray, ...]:
    """He-scaled, one array (side, side, in, out) per layer."""
    rng, found = np.random.RandomState(0), []
    for out, side, _ in LAYERS:
        scale = np.sqrt(2 / (side * side * channels))
        found.append((scale * rng.standard_normal((side, side, channels, out))).astype(np.float32))
        channels = out
    return tuple(found)
