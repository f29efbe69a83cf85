"""A supervised inverse model: the action from the pixels of both frames, with all labels.

What a code of the same two frames can tell is at most about this much, so that tables of probes
have a ceiling. Its cost is bounded: few steps, whatever the data, and no more pairs than PAIRS.

Dimension keys: N transitions, H W C image.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import small_fits
from flexlam_jax.evaluation.translator_fit import ActionTarget
from flexlam_jax.models.frame_stack import FrameStackTrunk

PAIRS = 20_000  # Frame pairs that are kept in memory: half a gigabyte at 64 pixels.
STEPS, LEARNING_RATE, WEIGHT_DECAY = 600, 1e-3, 0.05
_ROWS = 256  # of a prediction


class InverseModel(nn.Module):
    """Frames (N, 2, H, W, C) -> (N, outputs): logits, or a standardised action.

    The two frames are stacked on the channels before anything is learned.
    """

    outputs: int
    patch: int = 8

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        x = FrameStackTrunk(stack=2, patch=self.patch, name="trunk")(frames, last=1)[:, 0]
        return nn.Dense(self.outputs, name="action")(x)


def fit_and_predict(
    train_frames: np.ndarray,
    train_actions: np.ndarray,
    test_frames: np.ndarray,
    spec: ActionTarget,
    seed: int = 0,
) -> np.ndarray:
    """(1, M, size) outputs for test frames (M, 2, H, W, C) of a model fitted to the train frames.

    Args:
      train_frames: uint8 (N, 2, H, W, C).
      train_actions: (N,) int or (N, A) float.

    Raises:
      UserError: frames with an odd side.
    """
    model = InverseModel(spec.size, _patch(train_frames.shape[2:4]))
    actions, mean, scale = np.asarray(train_actions), 0.0, 1.0
    if not spec.discrete:
        mean, scale = actions.mean(0), np.maximum(actions.std(0), 1e-6)
        actions = (actions - mean) / scale
    params, _ = small_fits.fit(
        _problem(model, spec.discrete),
        (jnp.asarray(train_frames), jnp.asarray(actions)),
        jnp.arange(len(train_frames), dtype=jnp.int32)[None],
        len(train_frames),
        jnp.array([seed]),
        steps=STEPS,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
    )
    params = jax.tree.map(lambda leaf: leaf[0], params)
    outputs = [
        _predict(model, params, test_frames[first : first + _ROWS])
        for first in range(0, len(test_frames), _ROWS)
    ]
    return (np.concatenate(outputs) * scale + mean)[None]


def _patch(shape: tuple[int, ...]) -> int:
    """The largest cell that divides the frames, at most 8 pixels. Raises UserError for none."""
    for patch in (8, 4, 2, 1):
        if all(side % (2 * patch) == 0 for side in shape):
            return patch
    raise UserError(
        f"the inverse model reads frames of even sides, not {'x'.join(map(str, shape))}; leave it "
        "out, or prepare the data at another size"
    )


def _predict(model: InverseModel, params: Any, frames: np.ndarray) -> np.ndarray:
    """One compiled shape: what is missing of the last rows is padded."""
    count = len(frames)
    padded = np.concatenate([frames, np.repeat(frames[-1:], _ROWS - count, 0)])
    return np.asarray(_apply(model)(params, padded))[:count]


@functools.cache
def _apply(model: InverseModel) -> Any:
    return jax.jit(lambda params, frames: model.apply({"params": params}, frames))


@functools.cache
def _problem(model: InverseModel, discrete: bool) -> small_fits.SmallFit:
    def init(key, data, rows_M, count):
        return model.init(key, data[0][:1])["params"], {}

    def draw(data, rows_B, key):
        return data[0][rows_B], data[1][rows_B]

    def loss(params, fixed, batch):
        frames, actions = batch
        outputs = model.apply({"params": params}, frames)
        if discrete:
            return optax.softmax_cross_entropy_with_integer_labels(outputs, actions).mean()
        return jnp.square(outputs - actions).mean()

    return small_fits.SmallFit(init, loss, draw)
