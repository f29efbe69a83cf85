"""The LAM objective: pure, strict, and with zero gradient from what is not transmitted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.random import fold_name

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
    model = build_lam(config)
    objective = lam_objective(model, config, {"multiscale": 0.5}, clip_length=3)
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16, 3), dtype=np.uint8)
    extra = dict(jax.jit(objective.init)(jax.random.key(0), {"frames": frames}))
    params = extra.pop("params")
    outcome = jax.jit(objective.outcome)(params, extra, {"frames": frames}, jax.random.key(1))
    return request.param, model, objective, frames, params, extra, outcome


def coarse(x):
    """Means over 2x2 pixels."""
    *batch, H, W, C = x.shape
    return x.reshape(*batch, H // 2, 2, W // 2, 2, C).mean((-4, -2))


def test_the_loss_is_that_of_the_formula(case):
    kind, model, objective, frames, params, extra, outcome = case
    rngs = {"sample": fold_name(jax.random.key(1), "sample")}
    keep = jnp.ones((4, 2), jnp.int32)  # As the config fixes it.
    apply = jax.jit(functools.partial(model.apply, train=True, rngs=rngs))
    output = apply({"params": params, **extra}, frames, keep)
    target, guess = frames[:, 1:] / 255.0, np.asarray(output.prediction, np.float64)
    expected = np.mean((guess - target) ** 2)
    for _ in range(3):
        guess, target = coarse(guess), coarse(target)
        expected += 0.5 * np.mean((guess - target) ** 2) / 3
    # One of three slots is kept; the two others count as zeros.
    expected += sum(np.mean(loss[..., 0]) / 3 for loss in output.losses.values())
    assert bool(output.losses) == (kind in ("gaussian", "vq"))
    np.testing.assert_allclose(objective.loss(outcome.terms), expected, rtol=1e-5)


def test_metrics(case):
    kind, _, objective, frames, _, _, outcome = case
    values = objective.values(outcome)
    assert all(x.shape == () and np.isfinite(x) for x in values.values())
    error = np.mean((frames[:, 1:] / 255.0 - frames[:, :-1] / 255.0) ** 2, axis=(2, 3, 4))
    np.testing.assert_allclose(values["copy_psnr"], np.mean(-10 * np.log10(error)), rtol=1e-4)
    assert values["keep"] == 1.0
    discrete = kind in ("fsq", "vq")
    assert {name for name in values if name.startswith("code_")} == (
        {"code_usage", "code_perplexity"} if discrete else set()
    )


def test_the_codebook_alone_moves_beside_the_parameters(case):
    kind, _, _, _, _, extra, outcome = case
    assert set(outcome.extra) == ({"codebook"} if kind == "vq" else set())
    if kind == "vq":
        before, after = (c["codebook"]["quantizer"]["counts"] for c in (extra, outcome.extra))
        assert (before != after).any()


def test_halves_of_a_batch_add_up(case):
    kind, _, objective, frames, params, extra, whole = case
    if kind != "vq":  # It has all there is: a loss over kept slots, ids, a stat.
        return
    halves = [{"frames": half} for half in (frames[:2], frames[2:])]
    outcome = jax.jit(objective.outcome)
    parts = [outcome(params, extra, half, jax.random.key(1)).replace(extra=None) for half in halves]
    values = objective.values(jax.tree.map(jnp.add, *parts))
    expected = objective.values(whole)
    for name in ("loss", "commitment", "psnr", "keep", "code_usage", "code_perplexity"):
        np.testing.assert_allclose(values[name], expected[name], rtol=1e-5)


def test_what_the_loop_is_told(case):
    _, model, objective, *_ = case
    assert objective.transitions_per_row == 2 and objective.dtype == "float32"
    assert list(objective.coefficients) == ["reconstruction", *model.quantizer.loss_names]


@pytest.mark.parametrize("kind", ["gaussian", "vq"])
def test_quantiser_losses_count_kept_slots_only(kind):
    config = {**MODEL, "quantizer": QUANTIZERS[kind]}
    model = build_lam(config)
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), dtype=np.uint8)
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    name = {"gaussian": "kl", "vq": "commitment"}[kind]

    loss = jax.jit(lambda keep: model.apply(variables, frames, keep).losses[name])
    values = [float(loss(jnp.array([keep, keep])).mean()) for keep in (0, 1, 2, 3)]
    assert values[0] == 0.0 and values[1] < values[2] < values[3]


@pytest.mark.parametrize(
    ("loss", "named"), [({"pixels": "mse"}, "loss.pixels"), ({"pixel": "huber"}, "'huber'")]
)
def test_wrong_loss_settings_are_named(loss, named):
    config = {**MODEL, "quantizer": QUANTIZERS["none"]}
    with pytest.raises(ValueError, match=named):
        lam_objective(build_lam(config), config, loss)
