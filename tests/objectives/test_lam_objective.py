"""The LAM objective: pure, strict, and with zero gradient from what is not transmitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.flops import training_flops
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective

VIT = {"kind": "vit", "patch": 8, "width": 16, "heads": 1, "mlp_hidden": 32}
MODEL = {
    "image_size": 16,
    "slots": 3,
    "encoder": {**VIT, "frame_blocks": 0, "pair_blocks": 1},
    "decoder": {**VIT, "blocks": 1},
    "keep": {"kind": "fixed", "count": 1},
}
QUANTIZERS = {
    "none": {"kind": "none", "width": 2},
    "gaussian": {"kind": "gaussian", "width": 2},
    "fsq": {"kind": "fsq", "levels": (3, 3)},
    "vq": {"kind": "vq", "codes": 6, "width": 2, "commitment": 10.0},
}


@pytest.fixture(scope="module", params=QUANTIZERS)
def case(request):
    config = {**MODEL, "quantizer": QUANTIZERS[request.param]}
    objective = lam_objective(build_lam(config), config, {"multiscale": 0.5}, clip_length=3)
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16, 3), dtype=np.uint8)
    batch = {"frames": frames}
    variables = dict(jax.jit(objective.init)(jax.random.key(0), batch))
    params = variables.pop("params")
    gradient = jax.jit(jax.value_and_grad(objective.loss, has_aux=True))
    return request.param, config, objective, batch, params, variables, gradient


def test_metrics_and_extra(case):
    kind, config, objective, batch, params, extra, gradient = case
    (loss, (metrics, new)), _ = gradient(params, extra, batch, jax.random.key(1))
    assert all(x.shape == () and np.isfinite(x) for x in metrics.values())
    assert {"loss", "reconstruction", "psnr", "copy_psnr", "keep"} <= set(metrics)
    assert ("code_perplexity" in metrics) == (kind in ("fsq", "vq"))
    assert metrics["loss"] == loss and metrics["keep"] == 1.0
    penalty = {"gaussian": "kl", "vq": "commitment"}.get(kind)
    expected = metrics["reconstruction"] + (metrics[penalty] if penalty else 0.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    frames = batch["frames"].astype(np.float64) / 255
    error = np.mean((frames[:, 1:] - frames[:, :-1]) ** 2, axis=(2, 3, 4))
    np.testing.assert_allclose(metrics["copy_psnr"], np.mean(-10 * np.log10(error)), rtol=1e-4)
    assert jax.tree.structure(dict(new)) == jax.tree.structure(dict(extra))
    assert set(new) == ({"codebook"} if kind == "vq" else set())
    if kind == "vq":
        changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), extra, dict(new))
        assert changed["codebook"]["quantizer"]["counts"]
    assert objective.flops_per_row == training_flops(config, 3)


def test_the_loss_is_a_function_of_its_arguments(case):
    _, _, _, batch, params, extra, gradient = case
    (first, _), _ = gradient(params, extra, batch, jax.random.key(1))
    (again, _), _ = gradient(params, extra, batch, jax.random.key(1))
    assert first == again


def test_init_works_abstractly(case):
    _, _, objective, batch, params, extra, _ = case
    shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)
    assert jax.tree.map(lambda x: x.shape, dict(shapes)) == jax.tree.map(
        lambda x: x.shape, {"params": params, **extra}
    )


@pytest.mark.parametrize("kind", ["gaussian", "vq"])
def test_quantiser_losses_count_kept_slots_only(kind):
    config = {**MODEL, "quantizer": QUANTIZERS[kind]}
    model = build_lam(config)
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), dtype=np.uint8)
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    name = {"gaussian": "kl", "vq": "commitment"}[kind]

    loss = jax.jit(lambda keep: model.apply(variables, frames, keep).losses[name])
    values = [float(loss(jnp.array([keep, keep]))) for keep in (0, 1, 2, 3)]
    assert values[0] == 0.0 and values[1] < values[2] < values[3]


@pytest.mark.parametrize(
    ("loss", "named"), [({"pixels": "mse"}, "loss.pixels"), ({"pixel": "huber"}, "'huber'")]
)
def test_wrong_loss_settings_are_named(loss, named):
    config = {**MODEL, "quantizer": QUANTIZERS["none"]}
    with pytest.raises(ValueError, match=named):
        lam_objective(build_lam(config), config, loss)
