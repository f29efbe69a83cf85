"""A model of vectors, as its users load it: raw units in and out."""

import jax.numpy as jnp
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.load import load_as
from tests import untrained

COLUMNS = ("level", "flow")
MODEL = {
    "image_size": [2, 3],
    "channels": 1,
    "slots": 2,
    "encoder": {"kind": "vector", "widths": [8], "memory": "gru", "scales": [2.0, 3.0]},
    "quantizer": {"kind": "none", "width": 1},
    "decoder": {"kind": "vector", "widths": [8], "scales": [2.0, 3.0]},
    "keep": {"kind": "uniform"},
}
VECTORS = {
    "columns": COLUMNS,
    "history": 3,
    "exogenous": ["flow"],
    "mean": [100.0, -5.0],
    "level": [4.0, 0.3],
    "change": [2.0, 0.1],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return untrained.save_run(folder, MODEL, kind="vector_lam", vectors=VECTORS)


@pytest.fixture(scope="module")
def lam(run):
    return flexlam_jax.load(run)


def raw(rows=5, instants=None, seed=0):
    shape = (rows, *([] if instants is None else [instants]), 2)
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return noise * np.float32([4.0, 0.3]) + np.float32([100.0, -5.0])


def test_it_says_what_it_reads(run, lam):
    assert lam.columns == COLUMNS and lam.exogenous == ("flow",) and lam.history == 3
    assert load_as("lam", run).columns == COLUMNS


def test_codes_and_predictions_are_of_raw_vectors(lam):
    o_t, o_next = raw(seed=1), raw(seed=2)
    codes = lam.encode(o_t, o_next, keep=1)
    assert codes.shape == (5, 2, 1) and codes.dtype == np.float32
    predicted = lam.decode(o_t, codes)
    assert predicted.shape == o_t.shape
    # Fresh decoders hardly change anything: far from the mean it stays there, unclipped.
    assert np.abs((predicted - o_t) / [2.0, 0.1]).max() < 5
    one = lam.decode(o_t[0], lam.encode(o_t[0], o_next[0], keep=1))
    np.testing.assert_allclose(one, predicted[0], rtol=1e-5)


def test_units_cancel(lam):
    """The same network on normalised frames."""
    o_t, o_next = raw(seed=1), raw(seed=2)
    inner = lam.normalised()
    before, after = lam.frames_of(o_t), lam.frames_of(o_next)
    assert before.shape == (5, 2, 3, 1)
    np.testing.assert_array_equal(inner.encode(before, after), lam.encode(o_t, o_next))
    codes = lam.encode(o_t, o_next)
    moved = inner.decode(before, codes)[..., -1, 0] * [2.0, 0.1] + [100.0, -5.0]
    np.testing.assert_allclose(moved, lam.decode(o_t, codes), rtol=1e-5)
    assert inner.fingerprint() == lam.fingerprint()


def test_a_history_counts_and_without_one_the_present_stands_for_it(lam):
    past, later = raw(instants=3, seed=1), raw(instants=3, seed=2)
    codes = lam.encode(past, later)
    still = np.repeat(past[:, -1:], 3, 1)
    np.testing.assert_allclose(
        lam.encode(still, later), lam.encode(past[:, -1], later[:, -1]), rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(codes, lam.encode(still, later))


def test_jax_arrays_stay_jax_arrays(lam):
    codes = lam.encode(jnp.asarray(raw()), jnp.asarray(raw(seed=3)))
    assert isinstance(codes, jnp.ndarray) and isinstance(
        lam.decode(jnp.asarray(raw()), codes), jnp.ndarray
    )


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((2, 16, 16, 3), np.uint8), "uint8; this model reads vectors .* not pictures"),
        (np.zeros((2, 3), np.float32), r"shape \(2, 3\); this model reads .* level, flow"),
        (np.full((2, 2), np.nan, np.float32), "holds NaN"),
        (np.zeros((2, 4, 2), np.float32), r"\(B, 2\) or \(B, 3, 2\)"),
        (np.zeros((0, 2), np.float32), "empty batch"),
    ],
)
def test_what_is_no_such_vector_is_refused(lam, given, message):
    with pytest.raises(ValueError, match=message):
        lam.encode(given, given)


def test_a_config_without_vectors_is_told(tmp_path):
    untrained.save_run(tmp_path, MODEL, kind="vector_lam")
    with pytest.raises(CheckpointError, match="lacks a section model or vectors"):
        flexlam_jax.load(tmp_path)
