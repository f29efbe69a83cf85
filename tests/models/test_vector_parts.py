"""Encoder and decoder of vectors: what they read, and what they cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.vector_windows import now, windows

S, H = 3, 4


def model_config(encoder="flat", decoder="flat", history=H, **parts):
    return {
        "image_size": (S, history),
        "channels": 1,
        "slots": 2,
        "encoder": {"kind": "vector", "widths": (8,), "memory": encoder, **parts},
        "quantizer": {"kind": "none", "width": 1},
        "decoder": {"kind": "vector", "widths": (8,), "memory": decoder, **parts},
    }


def vectors(batch=2, length=H + 2, seed=0):
    return jax.random.normal(jax.random.key(seed), (batch, length, S))


def test_a_window_holds_the_instants_up_to_now_and_the_first_for_what_was_before():
    frames = windows(jnp.arange(5.0).reshape(1, 5, 1), 3)
    assert frames.shape == (1, 5, 1, 3, 1)
    assert frames[0, :, 0, :, 0].tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 3],
        [2, 3, 4],
    ]
    assert now(frames)[0, :, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("encoder", ["flat", "gru", "none"])
@pytest.mark.parametrize("decoder", ["flat", "gru", "none"])
def test_the_prediction_reads_the_future_through_the_code_alone(encoder, decoder):
    model = build_lam(model_config(encoder, decoder))

    @jax.jit  # As one program: by itself, every operation of every shape is one.
    def felt_by(series):
        frames = windows(series, H)
        variables = model.init(jax.random.key(0), frames)
        slots, _ = model.apply(variables, frames, method="encode")

        def prediction(series):
            seen = windows(series, H)
            out = model.apply(variables, seen[:, :-1], slots, method="decode")
            return now(out)[0, H].sum()  # Of the last transition but one.

        return jnp.abs(jax.grad(prediction)(series)[0]).sum(-1)

    felt = np.asarray(felt_by(vectors()))
    assert (felt[H + 1 :] == 0).all() and felt[H] > 0
    past = felt[1:H]
    assert (past > 0).all() if decoder != "none" else (past == 0).all()
    assert felt[0] == 0  # More than H instants ago.


@pytest.mark.parametrize("memory", ["flat", "gru"])
def test_a_code_reads_history_and_nothing_after_its_transition(memory):
    model = build_lam(model_config(memory))

    @jax.jit
    def felt_by(series):
        variables = model.init(jax.random.key(0), windows(series, H))

        def code(series):
            return model.apply(variables, windows(series, H), method="encode")[0][0, H - 1].sum()

        return jnp.abs(jax.grad(code)(series)[0]).sum(-1)

    felt = np.asarray(felt_by(vectors()))
    assert (felt[: H + 1] > 0).all() and (felt[H + 1 :] == 0).all()


def test_instants_before_the_last_are_moved_on_without_error():
    model = build_lam(model_config())
    frames = windows(vectors(), H)
    variables = model.init(jax.random.key(0), frames)
    predicted = model.apply(variables, frames).prediction
    np.testing.assert_allclose(predicted[..., :-1, :], frames[:, 1:, :, :-1], atol=1e-6)


def test_levels_are_read_in_units_of_their_own():
    """Scales undo the factor between levels and changes."""
    plain, scaled = build_lam(model_config()), build_lam(model_config(scales=(10.0,) * S))
    series = vectors()
    variables = plain.init(jax.random.key(0), windows(series, H))
    still = jnp.broadcast_to(series[:, :1], series.shape)  # No changes, so levels alone are read.
    a = plain.apply(variables, windows(still, H), method="encode")[0]
    b = scaled.apply(variables, windows(10 * still, H), method="encode")[0]
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_scales_of_other_columns_are_refused():
    model = build_lam(model_config(scales=(1.0, 2.0)))
    with pytest.raises(ConfigError, match="hold 2 numbers, the observations 3"):
        model.init(jax.random.key(0), windows(vectors(), H))
