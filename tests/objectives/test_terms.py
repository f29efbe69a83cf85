"""A model family in a few lines: terms over one model's outputs, with masks and heads of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.terms import Term, objective_of
from tests.training import toy


@pytest.fixture(scope="module")
def batch():
    return jax.tree.map(jnp.asarray, next(toy.Rows()))


def test_a_masked_mean():
    x, mask = jnp.arange(6.0).reshape(2, 3), jnp.array([[True], [False]])
    assert Mean.of(x).value == 2.5 and Mean.of(x, mask).value == 1.0
    nothing = jax.value_and_grad(lambda x: Mean.of(x, jnp.zeros(3, bool)).value)
    value, gradient = nothing(x)
    assert value == 0.0 and (gradient == 0.0).all()
    assert Mean.of(x, jnp.array([[True], [True]])).value == Mean.of(x).value


def test_the_loss_is_the_weighted_sum_of_terms(batch):
    objective = toy.masked()
    params = jax.jit(objective.init)(jax.random.key(0), batch)["params"]
    values = objective.values(objective.outcome(params, {}, batch, jax.random.key(1)))
    np.testing.assert_allclose(values["loss"], values["error"] + 0.5 * values["t"], rtol=1e-6)
    guess = np.asarray(batch["x"] @ params["w"])
    known = np.asarray(batch["t"]) < 3
    expected = np.mean((guess - np.asarray(batch["y"]))[known] ** 2)
    np.testing.assert_allclose(values["error"], expected, rtol=1e-5)


def test_a_head_lives_under_the_name_of_its_term(batch):
    objective = toy.masked()
    shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)
    assert shapes["params"]["heads"]["t"].shape == (1, 1) and set(shapes["params"]) == {
        "w",
        "heads",
    }


def test_terms_need_names():
    term = Term("same", lambda *_: Mean.of(jnp.ones(1)))
    for terms in ([], [term, term]):
        with pytest.raises(ValueError, match="terms of different names"):
            objective_of(lambda *_: {}, lambda *_: (None, {}), terms)
