import jax.numpy as jnp
import numpy as np

from flexlam_jax.evaluation import small_fits

STATISTICS = {"shift": jnp.float32(3)}


def init(key, data, rows, count):
    del key, rows, count
    return {"in": {"kernel": jnp.zeros(data[0].shape[1]), "bias": jnp.float32(0)}}, STATISTICS


def draw(data, rows, key):
    del key
    return data[0][rows], data[1][rows]


def loss(params, fixed, batch):
    x, y = batch
    predicted = x @ params["in"]["kernel"] + params["in"]["bias"] + fixed["shift"]
    return jnp.square(predicted - y).mean()


LINE = small_fits.SmallFit(init, loss, draw, batch_size=32)


def line(**settings):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 2)).astype(np.float32)
    y = x @ np.array([1.0, -2.0], np.float32) + 4
    y[128:] = 1e6  # Never to be read.
    rows = np.stack([np.arange(256), np.arange(256)])
    given = {"steps": 400, "learning_rate": 0.1} | settings
    problem = given.pop("problem", LINE)
    return small_fits.fit(problem, (x, y), rows, 128, np.array([0, 1]), **given)


def test_fits_find_the_line_from_the_rows_they_may_read():
    params, fixed = line()
    np.testing.assert_allclose(params["in"]["kernel"], [[1, -2]] * 2, atol=1e-2)
    np.testing.assert_allclose(params["in"]["bias"], [1, 1], atol=1e-2)
    np.testing.assert_array_equal(fixed["shift"], [3, 3])


def test_seeds_draw_other_batches():
    params, _ = line(steps=5)
    assert np.abs(np.diff(params["in"]["kernel"], axis=0)).max() > 1e-4


def test_settings_may_differ_between_fits_and_give_what_each_gives_alone():
    both, _ = line(steps=[5, 50], learning_rate=[0.1, 0.03], weight_decay=[0.0, 0.5])
    for i, (steps, rate, decay) in enumerate([(5, 0.1, 0.0), (50, 0.03, 0.5)]):
        alone, _ = line(steps=steps, learning_rate=rate, weight_decay=decay)
        np.testing.assert_allclose(both["in"]["kernel"][i], alone["in"]["kernel"][i], rtol=1e-5)


def test_only_what_the_mask_names_decays():
    settings = {"steps": 300, "learning_rate": 0.05, "weight_decay": 3.0}
    kernels, _ = line(**settings)
    biases, _ = line(
        **settings,
        problem=small_fits.SmallFit(init, loss, draw, 32, lambda path: path == "in/bias"),
    )
    norm = [np.abs(params["in"]["kernel"]).sum() for params in (kernels, biases)]
    assert norm[0] < norm[1] - 0.5
    assert (np.asarray(biases["in"]["bias"]) < np.asarray(kernels["in"]["bias"]) - 0.1).all()


def test_the_schedule_is_the_fits_own():
    stopped = small_fits.SmallFit(init, loss, draw, 32, schedule=lambda step, steps: 0.0 * step)
    params, _ = line(problem=stopped)
    assert not np.asarray(params["in"]["kernel"]).any()


def test_parameters_learn_at_rates_of_their_own():
    still = small_fits.SmallFit(
        init, loss, draw, 32, rates=lambda path: 0.0 if path == "in/bias" else 0.5
    )
    params, _ = line(problem=still, steps=1)
    assert not np.asarray(params["in"]["bias"]).any()
    whole, _ = line(steps=1)
    np.testing.assert_allclose(
        params["in"]["kernel"], 0.5 * np.asarray(whole["in"]["kernel"]), rtol=1e-5
    )
