"""flexlam_jax.load on a real (tiny, untrained) checkpoint."""

import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.loading import lam_programs
from flexlam_jax.models.lam import build_lam
from tests.untrained import MODEL, SIZE, save_run, variables_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), MODEL, steps=(2, 5))


@pytest.fixture(scope="module")
def lam(run):
    return flexlam_jax.load(run)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (300, 2, SIZE, SIZE, 3), dtype=np.uint8)


def test_what_is_known_about_a_model(lam):
    assert (lam.slots, lam.slot_width, lam.codebook_size, lam.null_id, lam.step) == (3, 2, 9, 9, 5)
    assert lam.frame_shape == (SIZE, SIZE, 3) and lam.budgets == (1, 2, 3)
    assert lam.config["model"]["quantizer"]["levels"] == [3, 3]


def test_codes_are_those_of_the_model_itself(run, lam, frames):
    model = build_lam(MODEL)
    variables = variables_of(MODEL, 5)
    slots, ids = jax.jit(lambda x: model.apply(variables, x, method="encode"))(frames[:4])
    np.testing.assert_allclose(lam.encode(frames[:4, 0], frames[:4, 1]), slots[:, 0], atol=1e-6)
    np.testing.assert_array_equal(lam.tokens(frames[:4, 0], frames[:4, 1]), ids[:, 0])
    codes = lam.encode(frames[:4, 0], frames[:4, 1], keep=2)
    decode = jax.jit(lambda x, codes: model.apply(variables, x, codes, method="decode"))
    expected = np.clip(decode(frames[:4, 0], codes), 0, 1)
    decoded = lam.decode(frames[:4, 0], codes)
    np.testing.assert_allclose(decoded, expected, atol=1e-5)
    assert decoded.dtype == np.float32


def test_single_batched_numpy_and_jax_agree(lam, frames):
    o_t, o_next = frames[:3, 0], frames[:3, 1]
    batch = lam.encode(o_t, o_next, keep=2)
    assert isinstance(batch, np.ndarray) and batch.shape == (3, 3, 2)
    single = lam.encode(o_t[1], o_next[1], keep=2)
    assert single.shape == (3, 2)
    np.testing.assert_allclose(single, batch[1], atol=1e-6)
    on_device = lam.encode(jnp.asarray(o_t), jnp.asarray(o_next), keep=2)
    assert isinstance(on_device, jax.Array)
    np.testing.assert_array_equal(on_device, batch)
    assert lam.decode(o_t[0], batch[0]).shape == (SIZE, SIZE, 3)
    assert lam.tokens(o_t[0], o_next[0], keep=1).shape == (3,)


def test_batches_beyond_the_largest_bucket_come_in_order(lam, frames):
    whole = lam.encode(frames[:, 0], frames[:, 1])
    assert len(whole) == 300
    np.testing.assert_allclose(whole[290:], lam.encode(frames[290:, 0], frames[290:, 1]), atol=1e-6)


def test_keep_per_sample_fills_with_the_null_latent(lam, frames):
    o_t, o_next = frames[:4, 0], frames[:4, 1]
    slots, keep = lam.encode(o_t, o_next), np.array([0, 1, 2, 3])
    codes = lam.encode(o_t, o_next, keep=keep)
    for row, k in enumerate(keep):
        np.testing.assert_array_equal(codes[row, :k], slots[row, :k])
        np.testing.assert_array_equal(codes[row, k:], np.broadcast_to(lam.null, (3 - k, 2)))
    np.testing.assert_array_equal(lam.null_fill(slots, keep), codes)
    ids = lam.tokens(o_t, o_next, keep=keep)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids == lam.null_id, np.arange(3) >= keep[:, None])
    np.testing.assert_allclose(lam.slots_of(ids), codes, atol=1e-6)
    np.testing.assert_allclose(lam.slots_of(ids[1]), codes[1], atol=1e-6)


def test_odd_batch_sizes_compile_once_per_bucket(run, frames):
    lam_programs._programs.cache_clear()  # other tests have compiled some of these
    lam = flexlam_jax.load(run)
    for size in (1, 2, 3, 5, 8, 9, 33, 64, 100, 200, 256, 299):
        codes = lam.encode(frames[:size, 0], frames[:size, 1], keep=1)
        lam.decode(frames[:size, 0], codes)
    assert lam.programs.traces == {"encode": 4, "null_fill": 4, "decode": 4}


def test_models_of_one_architecture_share_their_programs(run):
    assert flexlam_jax.load(run, step=2).programs is flexlam_jax.load(run, step=5).programs


def test_inside_a_callers_jit(lam, frames):
    @jax.jit
    def policy(o_t, o_next, keep):
        return lam.decode(o_t, lam.encode(o_t, o_next, keep=keep)), lam.tokens(o_t, o_next, keep)

    picture, ids = policy(frames[:2, 0], frames[:2, 1], jnp.array([1, 2]))
    expected = lam.decode(frames[:2, 0], lam.encode(frames[:2, 0], frames[:2, 1], np.array([1, 2])))
    np.testing.assert_allclose(picture, expected, atol=1e-5)
    np.testing.assert_array_equal(ids, lam.tokens(frames[:2, 0], frames[:2, 1], np.array([1, 2])))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda lam, x: lam.encode(x.astype(np.float32) / 255, x),
            "o_t is float32; frames must be uint8",
        ),
        (
            lambda lam, x: lam.encode(np.full((1, SIZE, SIZE, 3), np.nan), x),
            "must be uint8.*free of NaN",
        ),
        (
            lambda lam, x: lam.encode(x[:, :8], x[:, :8]),
            r"\(2, 8, 16, 3\); this model reads \(16, 16, 3\)",
        ),
        (lambda lam, x: lam.encode(x, x[:1]), "differ in shape"),
        (lambda lam, x: lam.encode(x[:0], x[:0]), "empty batch"),
        (lambda lam, x: lam.encode(x, x, keep=4), r"keep spans 4..4.*0..3"),
        (lambda lam, x: lam.encode(x, x, keep=[1, 2, 3]), r"integers of shape \(2,\)"),
        (lambda lam, x: lam.encode(x, x, keep=1.5), "keep must be an integer"),
        (lambda lam, x: lam.slots_of([[0, 9, 10]]), r"ids span 0..10; .* codes 0..8, and 9 for"),
        (lambda lam, x: lam.slots_of([0.0, 1, 2]), r"ids are float64 of shape \(3,\)"),
        (
            lambda lam, x: lam.decode(x, np.zeros((2, 2, 2), np.float32)),
            r"codes have shape \(2, 2, 2\)",
        ),
        (lambda lam, x: lam.decode(x, np.full((2, 3, 2), np.nan)), "NaN"),
        (lambda lam, x: lam.decode(x, jnp.full((2, 3, 2), jnp.nan)), "NaN"),
        (lambda lam, x: lam.decode(x, np.zeros((3, 3, 2))), "same batch size"),
        (lambda lam, x: lam.decode(x, np.zeros((2, 3, 2), int)), "codes are int64"),
    ],
)
def test_bad_input_says_what_is_wrong(lam, frames, call, message):
    with pytest.raises(ValueError, match=message):
        call(lam, frames[:2, 0])


def test_continuous_slots_have_no_tokens(tmp_path, frames):
    lam = flexlam_jax.load(save_run(tmp_path, MODEL | {"quantizer": {"kind": "none", "width": 5}}))
    assert lam.codebook_size is lam.null_id is None
    assert lam.encode(frames[0, 0], frames[0, 1]).shape == (3, 5)
    with pytest.raises(ValueError, match="continuous.*'none'"):
        lam.tokens(frames[0, 0], frames[0, 1])
    with pytest.raises(ValueError, match="slots_of: .* continuous"):
        lam.slots_of(np.zeros(3, int))


def test_steps_and_the_checkpoints_folder(run, frames):
    pair = frames[0]
    old, new = flexlam_jax.load(run, step=2), flexlam_jax.load(run / "checkpoints")
    assert (old.step, new.step) == (2, 5)
    assert old.fingerprint() != new.fingerprint()
    assert new.fingerprint() == flexlam_jax.load(str(run), step=5).fingerprint()
    assert old.decode(pair[0], old.encode(*pair)).shape == (SIZE, SIZE, 3)
    with pytest.raises(ValueError, match="no step 3"):
        flexlam_jax.load(run, step=3)


def test_a_damaged_step_falls_back_or_fails_when_named(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints" / "5" / "params").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert flexlam_jax.load(tmp_path / "run").step == 2
    with pytest.raises(ValueError, match="no readable checkpoint"):
        flexlam_jax.load(tmp_path / "run", step=5)


def test_missing_checkpoints_and_other_families(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in"):
        flexlam_jax.load(tmp_path)
    with pytest.raises(ValueError, match="no checkpoint in|no such"):
        flexlam_jax.load(tmp_path / "nowhere")
    policy = save_run(tmp_path / "policy", model={"layers": 3})
    with pytest.raises(ValueError, match="not a latent action model"):
        flexlam_jax.load(policy)


@pytest.mark.parametrize(
    "path, told",
    [
        ("nothing://a/run", "'nothing://' is no storage that is known"),
        ("gs://a/run", "gs://a/run cannot be reached: .* gcsfs"),
        (__file__, "no checkpoint in .*test_lam.py"),
    ],
)
@pytest.mark.parametrize("read", [flexlam_jax.load, flexlam_jax.load_translator])
def test_paths_that_lead_nowhere(monkeypatch, read, path, told):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(CheckpointError, match=told):
        read(path)


def test_a_decoder_that_draws_is_asked_otherwise(tmp_path, lam, frames):
    decoder = {"kind": "flow", "patch": 8, "width": 16, "heads": 2, "mlp_hidden": 32, "layers": 1}
    run = save_run(tmp_path / "flow", {**MODEL, "decoder": decoder})
    drawing = flexlam_jax.load(run)
    codes = drawing.encode(frames[:2, 0], frames[:2, 1])
    drawn = drawing.decode(frames[:2, 0], codes)
    np.testing.assert_array_equal(drawing.decode(frames[:2, 0], codes), drawn)
    other = drawing.sampling(steps=1, seed=1)
    assert np.abs(other.decode(frames[:2, 0], codes) - drawn).max() > 1e-3
    np.testing.assert_array_equal(drawing.decode(frames[:2, 0], codes), drawn)  # As it was.
    assert other.fingerprint() == drawing.fingerprint() and other.actions is drawing.actions
    for settings, told in (
        ({"step": 3}, "sampling.step"),
        ({"steps": 0}, "sampling.steps=0"),
        ({"sampler": "rk4"}, "'euler', 'heun'"),
    ):
        with pytest.raises(ConfigError, match=told):
            drawing.sampling(**settings)
    with pytest.raises(ConfigError, match="'vit', draws nothing"):
        lam.sampling(steps=2)
