"""Mask-weighted reconstruction: what counts, and that nothing else reaches the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.reconstruction import ERRORS
from flexlam_jax.objectives.remedies.mask import target_weights, weighted_reconstruction
from flexlam_jax.objectives.remedies.pixels import pixel_loss
from tests.objectives.remedies.linear_lam import batch_of, built, term


def images(seed, batch=(3, 2)):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.random((*batch, 16, 16, 3)), jnp.float32) for _ in range(2)]


@pytest.mark.parametrize("pixel", ERRORS)
@pytest.mark.parametrize("multiscale", [0.0, 0.5])
def test_equal_weights_are_the_loss_without_a_mask(pixel, multiscale):
    settings = type("S", (), {"pixel": pixel, "multiscale": multiscale})
    prediction, target = images(0)
    plain = pixel_loss(settings, prediction, target).value
    for weight in (1.0, 3.0):
        same = pixel_loss(settings, prediction, target, jnp.full((3, 2, 16, 16, 1), weight))
        np.testing.assert_allclose(same.value, plain, rtol=1e-5)


def test_it_is_the_mean_over_pixels_that_count():
    prediction, target = images(1)
    weight = jnp.asarray(np.random.default_rng(2).integers(0, 2, (3, 2, 16, 16, 1)), jnp.float32)
    found = weighted_reconstruction(ERRORS["mse"], prediction, target, weight).value
    error = np.square(np.asarray(prediction) - np.asarray(target)).mean(-1)
    np.testing.assert_allclose(found, error[np.asarray(weight)[..., 0] == 1].mean(), rtol=1e-5)


@pytest.mark.parametrize("multiscale", [0.0, 0.5])
def test_pixels_that_do_not_count_have_no_gradient_however_coarse(multiscale):
    prediction, target = images(3)
    weight = jnp.zeros((3, 2, 16, 16, 1)).at[..., 3:9, 5:, :].set(1.0)

    def loss(prediction, target):
        return weighted_reconstruction(ERRORS["mse"], prediction, target, weight, multiscale).value

    for gradient in jax.grad(loss, (0, 1))(prediction, target):
        outside = np.asarray(gradient)[np.broadcast_to(np.asarray(weight) == 0, gradient.shape)]
        assert (outside == 0).all() and np.abs(gradient).sum() > 0


@pytest.mark.parametrize("multiscale", [0.0, 0.5])
def test_parts_of_a_batch_with_other_masks_add_up(multiscale):
    prediction, target = images(4)
    weight = jnp.zeros((3, 2, 16, 16, 1)).at[0, :, :3].set(1.0).at[2].set(0.2)
    whole, *parts = (
        weighted_reconstruction(ERRORS["l1"], prediction[i], target[i], weight[i], multiscale)
        for i in (slice(None), slice(0, 1), slice(1, 3))
    )
    total = jax.tree.map(jnp.add, *parts)
    np.testing.assert_allclose(total.value, whole.value, rtol=1e-5)
    assert Mean.weighted(prediction, jnp.zeros(())).value == 0  # Nothing counts: no NaN.


def test_the_two_views_are_complements():
    batch = batch_of(length=3)
    agent = target_weights(batch["frames_agent_mask"], "agent_mask", 0.25)
    assert agent.shape == (4, 2, 8, 8, 1) and set(np.unique(agent)) == {0.25, 1.0}
    exogenous = target_weights(batch["frames_exogenous_mask"], "exogenous_mask", 0.25)
    np.testing.assert_array_equal(agent, exogenous)


@pytest.mark.parametrize("prefixes", [1, 2])
def test_the_encoder_hears_nothing_of_masked_pixels_of_the_next_frame(prefixes):
    batch = batch_of()
    objective, params, extra = built({"mask": "agent_mask"}, config={"prefixes": prefixes})
    value = jax.jit(term(objective, extra, batch, "reconstruction"))
    gradient = jax.jit(jax.grad(term(objective, extra, batch, "reconstruction")))(params)
    kernel = np.asarray(gradient["decoder"]["kernel"])
    assert (kernel[:, :, 4:] == 0).all() and np.abs(kernel[:, :, :4]).sum() > 0
    # The target outside the mask is of no account either: only the code reads those pixels.
    still = jax.tree.map(lambda x: x, params)
    still["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])
    other = {**batch, "frames": batch["frames"].at[:, 1, :, 4:].set(0)}
    changed = jax.jit(term(objective, extra, other, "reconstruction"))
    assert value(still) == changed(still)


def test_data_without_masks_or_with_others_are_refused():
    batch = batch_of()
    without = {"frames": batch["frames"]}
    with pytest.raises(ConfigError, match=r"give config.data.views=\('agent_mask',\)"):
        built({"mask": "agent_mask"}, batch=without)
    small = without | {"frames_agent_mask": batch["frames_agent_mask"][:, :, :4]}
    with pytest.raises(ConfigError, match="masks have the size of frames"):
        built({"mask": "agent_mask"}, batch=small)
