"""Several prefixes of one code in a step: one encoding, and the mean of their losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.bottleneck import prefix_samplers, trained_budgets
from flexlam_jax.models.flops import forward_flops
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective

VIT = {"kind": "vit", "patch": 8, "width": 16, "heads": 1, "mlp_hidden": 32}
MODEL = {
    "image_size": 16,
    "slots": 3,
    "encoder": {**VIT, "frame_blocks": 0, "pair_blocks": 1},
    "decoder": {**VIT, "blocks": 1},
    "quantizer": {"kind": "vq", "codes": 6, "width": 2},
    "keep": {"kind": "fixed", "count": 1},
}
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16, 3), dtype=np.uint8)


def outcome(config):
    """Objective, and what it finds with parameters that do not depend on the samplers."""
    model = build_lam(config)
    objective = lam_objective(model, config, clip_length=3)
    extra = dict(jax.jit(objective.init)(jax.random.key(0), {"frames": FRAMES}))
    params = extra.pop("params")
    return objective, jax.jit(objective.outcome)(
        params, extra, {"frames": FRAMES}, jax.random.key(1)
    )


def test_the_loss_is_the_mean_over_prefixes():
    def term(**keys):
        objective, found = outcome(MODEL | keys)
        return {**objective.values(found), "loss": objective.loss(found.terms)}

    short, long = term(), term(keep={"kind": "fixed", "count": 3})
    both = term(prefixes=2, further_keep={"kind": "fixed", "count": 3})
    for name in ("loss", "reconstruction", "psnr", "commitment", "keep"):
        assert short[name] != long[name]
        np.testing.assert_allclose(both[name], (short[name] + long[name]) / 2, rtol=1e-5)
    np.testing.assert_allclose(both["copy_psnr"], short["copy_psnr"])


def test_prefixes_of_a_sampler_are_drawn_apart():
    model = build_lam(MODEL)
    keep = jnp.asarray([[[1, 3], [2, 2]]] * 4)
    variables = jax.jit(model.init)(jax.random.key(0), FRAMES)
    predicted = jax.jit(lambda keep: model.apply(variables, FRAMES, keep).prediction)
    several = predicted(keep)
    assert several.shape == (4, 2, 2, 16, 16, 3)
    for i in range(2):
        np.testing.assert_allclose(several[:, :, i], predicted(keep[..., i]), atol=1e-5)
    _, found = outcome(MODEL | {"keep": {"kind": "uniform"}, "prefixes": 64})
    mean = float(found.metrics["keep"].value)
    assert abs(mean - 2) < 0.2 and mean != int(mean)


def test_the_encoder_runs_once():
    model = build_lam(MODEL)
    one, two, three = (forward_flops(model, (3, 16, 16, 3), prefixes=n) for n in (1, 2, 3))
    assert two - one == three - two < one


def test_budgets_are_those_of_all_samplers():
    keys = {"slots": 16, "keep": {"kind": "fixed", "count": 3}}
    assert trained_budgets(keys) == (3,)
    assert trained_budgets(keys | {"prefixes": 2, "further_keep": {"kind": "powers_of_two"}}) == (
        1,
        2,
        3,
        4,
        8,
        16,
    )
    assert trained_budgets({"slots": 2}) == (1, 2)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"further_keep": {"kind": "fixed"}}, "model.prefixes=1"),
        ({"prefixes": 2, "further_keep": {"kind": "fixed", "count": 4}}, "further_keep.count=4"),
        ({"prefixes": 2, "further_keep": {"kind": "half"}}, "model.further_keep.kind='half'"),
        ({"prefixes": 2, "further_keep": {"kind": "same", "count": 1}}, "model.further_keep.count"),
    ],
)
def test_samplers_that_make_no_sense(keys, words):
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        prefix_samplers(MODEL | keys)
