"""Fitting many small translators at once, on few labels, by one fixed recipe.

Evaluation fits hundreds of them (prefix length x label count x label draw) by `small_fits`: all
draws of one label count run as one program, and every label count of the same feature width shares
its compilation.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flexlam_jax.evaluation import small_fits
from flexlam_jax.evaluation.prefixes import Prefixes
from flexlam_jax.models.translator import Translator


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a fit, besides its data.

    The values were chosen on held-out episodes, once, for all models and prefix lengths: of the
    default dataset, and of codes of eight tasks. They are not tuned per model and never on test
    data. The fewer labels, the more weights are held back: decay is decay_at_one / sqrt(labels).
    """

    hidden: int = 128  # 0: linear
    learning_rate: float = 5e-3  # cosine to 0
    decay_at_one: float = 16.0  # decoupled (AdamW), kernels only
    batch_size: int = 128  # drawn with replacement from the labelled transitions
    steps: int = 400
    many_steps: int = 4000  # from `many_labels` on
    many_labels: int = 2048

    def steps_for(self, labels: int) -> int:
        return self.many_steps if labels >= self.many_labels else self.steps

    def weight_decay(self, labels: int) -> float:
        return self.decay_at_one / math.sqrt(labels)


_AT_ONCE = 2**16  # Rows that translators read: their hidden layers take more memory than the rows.
TRANSLATOR = Recipe()
LINEAR = Recipe(hidden=0, learning_rate=3e-2, decay_at_one=0.5)  # one layer needs larger steps


@dataclasses.dataclass(frozen=True)
class ActionTarget:
    """What a translator predicts: `size` classes if discrete, else a vector of `size` numbers."""

    discrete: bool
    size: int

    @property
    def metric(self) -> str:
        """What its predictions are scored by; see `probes.score`."""
        return "accuracy" if self.discrete else "R^2"

    @classmethod
    def of(cls, actions: np.ndarray, num_actions: int | None = None) -> "ActionTarget":
        """Reads it off an action array: integers (N,) or floats (N, A)."""
        actions = np.asarray(actions)
        if np.issubdtype(actions.dtype, np.integer):
            if actions.ndim != 1 or (actions.size and actions.min() < 0):
                raise ValueError(
                    f"discrete actions must be non-negative integers of shape (N,); "
                    f"got {actions.dtype} {actions.shape}"
                )
            return cls(True, max(num_actions or 0, int(actions.max()) + 1))
        if actions.ndim != 2 or not np.isfinite(actions).all():
            raise ValueError(
                f"continuous actions must be finite floats of shape (N, A); "
                f"got {actions.dtype} {actions.shape}"
            )
        return cls(False, actions.shape[1])


def fit(
    features: np.ndarray | Prefixes,
    actions_N: np.ndarray,
    labelled_LM: np.ndarray,
    labels: int,
    spec: ActionTarget,
    recipe: Recipe = TRANSLATOR,
    seed: int = 0,
) -> dict:
    """Fits L translators, one per row of `labelled_LM`.

    Args:
      features: (N, F) of the transitions, or their codes at V prefix lengths; a batch draws a prefix
        length per example. Several features of the same transitions may also be given as (V, N, F).
      actions_N: (N,) int or (N, A) float actions.
      labelled_LM: (L, M) indices into N. Only the first `labels` of each row are ever read.
      labels: how many labels a fit may use, 1..M.
      spec: what the actions are.
      recipe: see `Recipe`.
      seed: of initialisation and batches.

    Returns:
      Variables of `Translator(spec.size, recipe.hidden)`, every leaf with a leading axis L. Input
      statistics come from all N feature rows, which needs no labels; target statistics from the
      labelled rows alone.
    """
    if not isinstance(features, Prefixes):
        features = jnp.asarray(features, jnp.float32)
        features = features[None] if features.ndim == 2 else features
    labelled_LM = jnp.asarray(labelled_LM, jnp.int32)
    if not 1 <= labels <= labelled_LM.shape[1]:
        raise ValueError(
            f"fit: {labels} labels asked for, {labelled_LM.shape[1]} transitions given"
        )
    params, fixed = small_fits.fit(
        _problem(spec, recipe.hidden, recipe.batch_size),
        (features, jnp.asarray(actions_N)),
        labelled_LM,
        labels,
        seed + jnp.arange(len(labelled_LM)),
        steps=recipe.steps_for(labels),
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay(labels),
    )
    return {"params": params, "statistics": {**fixed["inputs"], **fixed["targets"]}}


def predict(
    variables_L: Any, features_NF: np.ndarray, spec: ActionTarget, recipe: Recipe = TRANSLATOR
) -> jax.Array:
    """Outputs of L fitted translators on (N, F) features: (L, N, spec.size) float32."""
    run = _predict(spec, recipe.hidden)
    pieces = [
        run(variables_L, jnp.asarray(features_NF[first : first + _AT_ONCE], jnp.float32))
        for first in range(0, max(1, len(features_NF)), _AT_ONCE)
    ]
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis=1)


@functools.cache
def _predict(spec: ActionTarget, hidden: int):
    translator = Translator(spec.size, hidden)
    return jax.jit(jax.vmap(translator.apply, in_axes=(0, None)))


@functools.cache
def _problem(spec: ActionTarget, hidden: int, batch_size: int) -> small_fits.SmallFit:
    """The fit of a translator to data (features (V, N, F) or Prefixes, actions (N, ...)).

    A batch draws a variant of the features per row.
    """
    translator = Translator(spec.size, hidden)
    as_they_are = {"target_mean": jnp.zeros(spec.size), "target_scale": jnp.ones(spec.size)}

    def init(key, data, labelled_M, labels):
        features, actions_N = data
        if isinstance(features, Prefixes):
            mean, deviation = features.statistics()
        else:
            mean, deviation = features.mean((0, 1)), features.std((0, 1))
        params = translator.init(key, mean[None])["params"]
        inputs = {"mean": mean, "scale": jnp.maximum(deviation, 1e-2)}
        targets = as_they_are
        if not spec.discrete:
            targets = _target_statistics(actions_N[labelled_M], labels)
        return params, {"inputs": inputs, "targets": targets}

    def draw(data, rows_B, key):
        features, actions_N = data
        if isinstance(features, Prefixes):
            variant = jax.random.randint(key, rows_B.shape, 0, len(features.keep))
            return features.drawn(variant, rows_B), actions_N[rows_B]
        variant = jax.random.randint(key, rows_B.shape, 0, features.shape[0])
        return features[variant, rows_B], actions_N[rows_B]

    def loss(params, fixed, batch):
        features, actions = batch
        statistics = fixed["inputs"] | as_they_are  # The network fits standardised targets.
        outputs = translator.apply({"params": params, "statistics": statistics}, features)
        if spec.discrete:
            return optax.softmax_cross_entropy_with_integer_labels(outputs, actions).mean()
        targets = fixed["targets"]
        actions = (actions - targets["target_mean"]) / targets["target_scale"]
        return jnp.square(outputs - actions).mean(-1).mean()

    return small_fits.SmallFit(init, loss, draw, batch_size)


def _target_statistics(actions_MA, labels) -> dict[str, jax.Array]:
    """Mean and scale of the first `labels` actions."""
    used = (jnp.arange(len(actions_MA)) < labels)[:, None]
    mean = (actions_MA * used).sum(0) / labels
    variance = (jnp.square(actions_MA - mean) * used).sum(0) / labels
    return {"target_mean": mean, "target_scale": jnp.maximum(jnp.sqrt(variance), 1e-6)}
