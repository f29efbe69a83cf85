"""The decoder that draws by a rectified flow; what holds of all decoders is in test_lam.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.mmdit import MMDiT
from flexlam_jax.models.transformer import BlockSettings
from flexlam_jax.objectives.lam import lam_objective
from tests.models.tiny_lam import FLOW, random_frames, randomised, tiny_config

FRAMES = (random_frames((3, 2, 16, 16, 3)) / 255.0).astype(np.float32)
O_T, O_NEXT = FRAMES[:, 0], FRAMES[:, 1]
K, D = 3, 2
KEEP = np.array([1, 2, 3])
SLOTS = np.random.default_rng(0).normal(size=(3, K, D)).astype(np.float32)
NULL = np.full(D, 0.3, np.float32)
CODES = np.where(np.arange(K)[:, None] < KEEP[:, None, None], SLOTS, NULL)


def build(**decoder):
    """The decoder alone: without the encoder it compiles in half the time."""
    return build_lam(tiny_config(decoder={**FLOW, "layers": 1, **decoder})).decoder


@functools.cache
def init(decoder):
    run = jax.jit(functools.partial(decoder.init, method="learn"))
    return run(jax.random.key(0), O_T, CODES, O_NEXT)


@functools.cache
def variables():
    """Random ones, which most settings below share: few of them change a parameter."""
    return randomised(init(build()))


def decode(decoder, variables, o_t, codes):
    return jax.jit(decoder.apply)(variables, o_t, codes, NULL)


@functools.partial(jax.jit, static_argnums=0)
def learn(decoder, variables, codes, key):
    rngs = {"flow": key}
    return decoder.apply(variables, O_T, codes, O_NEXT, rngs=rngs, method="learn")


KEY = jax.random.key(0)
KL = {"kind": "kl", "channels": (4, 8), "groups": 2, "latent_channels": 2, "blocks": 1}


def test_a_regression_is_trained_by_the_error_of_what_it_gives():
    decoder = build(noise=False, steps=1)
    error, size = learn(decoder, variables(), CODES, KEY)
    predicted = decode(decoder, variables(), O_T, CODES)
    scale = 2 / FLOW["spread"]  # [-1, 1] is twice as wide as [0, 1].
    expected = np.square(scale * (predicted - O_NEXT)).mean((1, 2, 3))
    np.testing.assert_allclose(error, expected, rtol=1e-4)
    np.testing.assert_allclose(size, scale * np.sqrt(np.square(O_NEXT - O_T).mean()), rtol=1e-5)


def test_a_network_that_says_nothing_adds_the_noise_it_began_with():
    """The velocity of a fresh network is zero: the sampler then stands still."""
    decoder = build(sampler="heun", steps=3, seed=5)
    noise = jax.random.normal(jax.random.key(5), (16, 16, 3))
    drawn = decode(decoder, init(build()), O_T, CODES)
    np.testing.assert_allclose(drawn, O_T + FLOW["spread"] * noise / 2, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch():
    whole = decode(build(), variables(), O_T, CODES)
    alone = decode(build(), variables(), O_T[2:], CODES[2:])
    np.testing.assert_allclose(whole[2:], alone, atol=1e-4 * np.abs(whole).max())


def test_guidance_runs_from_no_slots_to_beyond_them():
    """In one step a sample is linear in the velocity."""

    def drawn(codes, **settings):
        return np.asarray(decode(build(steps=1, **settings), variables(), O_T, codes))

    told, untold = drawn(CODES), drawn(np.broadcast_to(NULL, CODES.shape))
    atol = 1e-4 * np.abs(told).max()
    np.testing.assert_allclose(drawn(CODES, guidance=0.0), untold, atol=atol)
    np.testing.assert_allclose(drawn(CODES, guidance=2.0), 2 * told - untold, atol=2 * atol)
    assert np.abs(told - untold).max() > 100 * atol


@pytest.mark.parametrize("shown", ["channels", "tokens"])
def test_the_error_reads_every_slot_and_the_frame(shown):
    decoder = build(shown=shown)
    given = randomised(init(decoder))

    def total(codes, o_t):
        rngs = {"flow": KEY}
        return decoder.apply(given, o_t, codes, O_NEXT, rngs=rngs, method="learn")[0].sum()

    by_codes, by_frame = jax.jit(jax.grad(total, argnums=(0, 1)))(CODES, O_T)
    assert np.all(np.abs(by_codes).max(-1) > 0) and np.all(np.abs(by_frame).max((1, 2, 3)) > 0)


def test_several_prefixes_of_a_pair_are_as_many_rows():
    decoder = build(noise=False, steps=1)
    several = np.stack([CODES, SLOTS], 1).reshape(-1, K, D)
    both, _ = learn(decoder, variables(), several, KEY)
    for place, codes in enumerate((CODES, SLOTS)):
        alone, _ = learn(decoder, variables(), codes, KEY)
        np.testing.assert_allclose(both[place::2], alone, rtol=1e-4)


def test_times_and_noise_are_those_of_the_stream():
    one, again, other = (
        learn(build(), variables(), CODES, jax.random.key(seed))[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again) and np.all(one != other)


def test_a_pretrained_network_begins_as_it_was():
    """The picture beside the noise is not seen until it was trained to be."""
    model = MMDiT(BlockSettings(heads=2, mlp_hidden=32), 16, 2, channels=3, out_channels=3,
                  context_width=8, pooled_width=8)  # fmt: skip
    given = O_NEXT, jnp.full(3, 500.0), jnp.ones((3, 4, 8)), jnp.ones((3, 8))
    told = jax.jit(model.init)(jax.random.key(0), *given, O_T)["params"]
    shown = told.pop("shown_embed")
    assert not np.any(shown["kernel"])
    random = randomised({"params": told})["params"]
    alone = model.apply({"params": random}, *given)
    beside = model.apply({"params": {**random, "shown_embed": shown}}, *given, O_T)
    np.testing.assert_array_equal(alone, beside)


def test_the_autoencoder_is_used_and_never_trained():
    decoder = build(latents=KL)
    given = randomised(init(decoder))
    assert set(given["params"]["latents"]) == {"encoder", "decoder"}

    def total(params):
        return learn(decoder, {"params": params}, CODES, KEY)[0].sum()

    gradient = jax.jit(jax.grad(total))(given["params"])
    assert not any(np.any(x) for x in jax.tree.leaves(gradient["latents"]))
    assert np.any(gradient["velocity"]["patch_embed"]["kernel"])


def test_training_tells_the_velocity_and_no_pixels():
    config = tiny_config(decoder=FLOW, prefixes=2)
    objective = lam_objective(build_lam(config), config)
    batch = {"frames": jax.ShapeDtypeStruct((3, 2, 16, 16, 3), np.uint8)}
    key = jax.eval_shape(jax.random.key, 0)
    made = jax.eval_shape(objective.init, key, batch)

    def values(params, batch, key):
        return objective.values(objective.outcome(params, {}, batch, key))

    told = jax.eval_shape(values, made["params"], batch, key)
    assert {"velocity", "predicted_rms", "copy_psnr", "code_usage"} <= set(told)
    assert "reconstruction" not in told and "psnr" not in told


def test_half_precision_that_overflows_says_which_switch():
    given = jax.tree.map(lambda x: x * 1e5, init(build(latents=KL)))
    sizes = {
        dtype: learn(build(latents={**KL, "dtype": dtype}), given, CODES, KEY)[1]
        for dtype in ("float16", "float32")
    }
    assert not np.isfinite(sizes["float16"]) and np.isfinite(sizes["float32"])
    config = tiny_config(decoder=FLOW)
    advice = lam_objective(build_lam(config), config).advice
    assert "latents.dtype='float32'" in advice["predicted_rms"]


@pytest.mark.parametrize(
    "decoder, match",
    [
        ({"noise": False}, "a regression has one step"),
        ({"position_table": 1}, "holds no grid of 4x4"),
        ({"heads": 3}, "multiple of 4 and of model.decoder.heads=3"),
        ({"patch": 5}, "patch 5 does not divide"),
        ({"latents": {**KL, "image_channels": 1}}, "model.channels=3, but .*image_channels=1"),
        ({"latents": {"kind": "vae"}}, r"model.decoder.latents.kind='vae'.*\['kl', 'pixels'\]"),
        (
            {"latents": {"kind": "pixels", "size": 3}},
            "unknown config key model.decoder.latents.size",
        ),
    ],
)
def test_settings_that_do_not_go_together(decoder, match):
    with pytest.raises(ConfigError, match=match):
        build(**decoder)


@pytest.mark.parametrize("loss", [{"pixel": "l1"}, {"multiscale": 1.0}, {"gain": True}])
def test_a_loss_of_pixels_is_refused(loss):
    config = tiny_config(decoder=FLOW)
    with pytest.raises(ConfigError, match=f"config.loss.{next(iter(loss))}.*velocities"):
        lam_objective(build_lam(config), config, loss)
