"""Fitting many small translators at once, on few labels, by one fixed recipe.

Evaluation fits hundreds of them (prefix length x label count x label draw); all draws of one label
count run as one vmapped program, and since count and step number are traced values, every label
count of the same feature width shares its compilation.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flexlam_jax.models.translator import Translator


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a fit, besides its data.

    The values were chosen on held-out train episodes of the default dataset, once, for all models
    and prefix lengths; they are not tuned per model and never on test data. They hardly matter
    there: a tenth to three times the weight decay or half the steps moves accuracy by 0.01.
    """

    hidden: int = 64  # 0: linear
    learning_rate: float = 5e-3  # cosine to 0
    weight_decay: float = 0.3  # decoupled (AdamW), kernels only
    batch_size: int = 128  # drawn with replacement from the labelled transitions
    steps: int = 400
    many_steps: int = 2000  # from `many_labels` on
    many_labels: int = 2048

    def steps_for(self, labels: int) -> int:
        return self.many_steps if labels >= self.many_labels else self.steps


TRANSLATOR = Recipe()
LINEAR = Recipe(hidden=0, learning_rate=3e-2, weight_decay=3e-2)  # one layer needs larger steps


@dataclasses.dataclass(frozen=True)
class ActionSpec:
    """What a translator predicts: `size` classes if discrete, else a vector of `size` numbers."""

    discrete: bool
    size: int

    @classmethod
    def of(cls, actions, num_actions: int | None = None) -> "ActionSpec":
        """Reads the specification off an action array: integers (N,) or floats (N, A)."""
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
    features_VNF,
    actions_N,
    labelled_LM,
    labels: int,
    spec: ActionSpec,
    recipe: Recipe = TRANSLATOR,
    seed: int = 0,
) -> dict:
    """Fits L translators, one per row of `labelled_LM`.

    Args:
      features_VNF: V variants of the features of the same N transitions, for example one per prefix
        length; a batch draws a variant per example. An (N, F) array counts as V = 1.
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
    features_VNF = jnp.asarray(features_VNF, jnp.float32)
    if features_VNF.ndim == 2:
        features_VNF = features_VNF[None]
    labelled_LM = jnp.asarray(labelled_LM, jnp.int32)
    if not 1 <= labels <= labelled_LM.shape[1]:
        raise ValueError(
            f"fit: {labels} labels asked for, {labelled_LM.shape[1]} transitions given"
        )
    keys = jax.vmap(jax.random.key)(seed + jnp.arange(len(labelled_LM)))
    program = _program(spec, recipe.hidden, recipe.batch_size)
    return program(
        features_VNF,
        jnp.asarray(actions_N),
        labelled_LM,
        keys,
        jnp.int32(labels),
        jnp.int32(recipe.steps_for(labels)),
        recipe.learning_rate,
        recipe.weight_decay,
    )


def predict(variables_L, features_NF, spec: ActionSpec, recipe: Recipe = TRANSLATOR) -> jax.Array:
    """Outputs of L fitted translators on (N, F) features: (L, N, spec.size) float32."""
    return _predict(spec, recipe.hidden)(variables_L, jnp.asarray(features_NF, jnp.float32))


@functools.cache
def _predict(spec: ActionSpec, hidden: int):
    translator = Translator(spec.size, hidden)
    return jax.jit(jax.vmap(translator.apply, in_axes=(0, None)))


@functools.cache
def _program(spec: ActionSpec, hidden: int, batch_size: int):
    """The compiled fit of all L translators; cached, so that equal shapes never compile twice."""
    translator = Translator(spec.size, hidden)
    adam = optax.scale_by_adam()

    def error(outputs, actions):
        if spec.discrete:
            return optax.softmax_cross_entropy_with_integer_labels(outputs, actions)
        return jnp.square(outputs - actions).mean(-1)

    def fit_one(
        features_VNF, actions_N, labelled_M, key, labels, steps, learning_rate, weight_decay
    ):
        mean = features_VNF.mean((0, 1))
        scale = jnp.maximum(features_VNF.std((0, 1)), 1e-2)
        statistics = {
            "mean": mean,
            "scale": scale,
            "target_mean": jnp.zeros(spec.size),
            "target_scale": jnp.ones(spec.size),
        }
        params = translator.init(key, features_VNF[0, :1])["params"]
        if not spec.discrete:  # the network fits standardised targets
            used = (jnp.arange(labelled_M.shape[0]) < labels)[:, None]
            known = actions_N[labelled_M]
            target_mean = (known * used).sum(0) / labels
            variance = (jnp.square(known - target_mean) * used).sum(0) / labels
            target_scale = jnp.maximum(jnp.sqrt(variance), 1e-6)
        network_statistics = dict(statistics)

        def loss(params, features, actions):
            outputs = translator.apply(
                {"params": params, "statistics": network_statistics}, features
            )
            if not spec.discrete:
                actions = (actions - target_mean) / target_scale
            return error(outputs, actions).mean()

        def step(index, carry):
            params, state = carry
            row_key, variant_key = jax.random.split(jax.random.fold_in(key, index))
            rows = labelled_M[jax.random.randint(row_key, (batch_size,), 0, labels)]
            variant = jax.random.randint(variant_key, (batch_size,), 0, features_VNF.shape[0])
            gradient = jax.grad(loss)(params, features_VNF[variant, rows], actions_N[rows])
            update, state = adam.update(gradient, state, params)
            rate = learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * index / steps))

            def move(path, p, u):
                decay = weight_decay * p if path[-1].key == "kernel" else 0
                return p - rate * (u + decay)

            return jax.tree_util.tree_map_with_path(move, params, update), state

        params, _ = jax.lax.fori_loop(0, steps, step, (params, adam.init(params)))
        if not spec.discrete:
            statistics |= {"target_mean": target_mean, "target_scale": target_scale}
        return {"params": params, "statistics": statistics}

    return jax.jit(jax.vmap(fit_one, in_axes=(None, None, 0, 0, None, None, None, None)))
