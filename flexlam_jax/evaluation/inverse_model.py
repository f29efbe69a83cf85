"""A supervised inverse model: the action from the pixels of both frames, with all labels.

What supervision alone reaches on the two frames that a code is made of, for tables of probes; a
good encoder of motion may well do better than these few steps. Its cost is bounded: few steps,
whatever the data, and no more pairs than PAIRS.

Dimension keys: N transitions, H W C image.
"""

import functools
from collections.abc import Callable
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
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 600, 128, 1e-3, 0.05
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


def fit(
    frames: np.ndarray,
    actions: np.ndarray,
    spec: ActionTarget,
    seed: int = 0,
    steps: int = STEPS,
) -> Callable[[np.ndarray], np.ndarray]:
    """A model fitted to pairs of frames, as a function of others.

    Args:
      frames: uint8 (N, 2, H, W, C).
      actions: (N,) int or (N, A) float.

    Returns:
      A function of frames (M, 2, H, W, C) that gives outputs (M, size).

    Raises:
      UserError: frames with an odd side.
    """
    model = InverseModel(spec.size, _patch(frames.shape[2:4]))
    actions, mean, scale = np.asarray(actions), 0.0, 1.0
    if not spec.discrete:
        mean, scale = actions.mean(0), np.maximum(actions.std(0), 1e-6)
        actions = (actions - mean) / scale
    params = _fit(model, spec.discrete, np.asarray(frames), actions, seed, steps)

    def predict(others: np.ndarray) -> np.ndarray:
        outputs = [
            _predict(model, params, others[first : first + _ROWS])
            for first in range(0, len(others), _ROWS)
        ]
        return np.concatenate(outputs) * scale + mean

    return predict


def fit_and_predict(
    train_frames: np.ndarray,
    train_actions: np.ndarray,
    test_frames: np.ndarray,
    spec: ActionTarget,
    seed: int = 0,
) -> np.ndarray:
    """(1, M, size) outputs for test frames (M, 2, H, W, C) of a model fitted to the train frames.

    Arguments and errors as `fit`.
    """
    return fit(train_frames, train_actions, spec, seed)(test_frames)[None]


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


def _fit(
    model: InverseModel,
    discrete: bool,
    frames: np.ndarray,
    actions: np.ndarray,
    seed: int,
    steps: int,
) -> Any:
    """Parameters after `steps` of AdamW.

    A step at a time: XLA:CPU computes convolutions inside a compiled loop ten times slower, which
    is what `small_fits` would be.
    """
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(LEARNING_RATE, steps), weight_decay=WEIGHT_DECAY, mask=_kernels
    )

    def loss(params, frames, actions):
        outputs = model.apply({"params": params}, frames)
        if discrete:
            return optax.softmax_cross_entropy_with_integer_labels(outputs, actions).mean()
        return jnp.square(outputs - actions).mean()

    @jax.jit
    def step(params, state, frames, actions):
        updates, state = optimizer.update(jax.grad(loss)(params, frames, actions), state, params)
        return optax.apply_updates(params, updates), state

    params = jax.jit(model.init)(jax.random.key(seed), frames[:1])["params"]
    state, rng = optimizer.init(params), np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(0, len(frames), BATCH)
        params, state = step(params, state, frames[rows], actions[rows])
    return params


def _kernels(params: Any) -> Any:
    """Which parameters decay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: small_fits.kernels(jax.tree_util.keystr(path, simple=True, separator="/")),
        params,
    )
