"""A trained tokenizer as others use it."""

import jax
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.load import load_as
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.output_folder import Kind
from tests.models.tiny_lam import random_frames, randomised
from tests.models.tiny_tokenizers import SPACETIME

KIND = Kind("tokenizer", "a tokenizer", "--workdir", lambda folder: False)
MODEL = {**SPACETIME, "quantizer": {"kind": "vq", "codes": 16, "width": 4}}
FRAMES = random_frames((2, 3, 16, 16, 3))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(loaded, its folder, what the model itself makes of FRAMES)."""
    model, folder = build_tokenizer(MODEL), tmp_path_factory.mktemp("tokenizer") / "run"
    variables = randomised(jax.jit(model.init)(jax.random.key(0), FRAMES[:1, :1]))
    save_model(folder, KIND, variables, {"model": MODEL})
    return flexlam_jax.load(folder), folder, model.apply(variables, FRAMES)


def test_frames_to_ids_and_back(saved):
    tokenizer, folder, output = saved
    assert type(tokenizer) is LoadedTokenizer and tokenizer.step == 0
    assert (tokenizer.grid, tokenizer.tokens, tokenizer.window) == ((2, 2), 4, 3)
    assert (tokenizer.frame_shape, tokenizer.codebook_size) == ((16, 16, 3), 16)
    ids = tokenizer.encode(FRAMES)
    assert type(ids) is np.ndarray and ids.dtype == np.int32
    np.testing.assert_array_equal(ids, output.tokens.ids)
    frames = tokenizer.decode(ids)
    assert frames.dtype == np.uint8 and frames.shape == FRAMES.shape
    expected = 255 * np.clip(output.prediction, 0, 1)
    np.testing.assert_allclose(frames, expected, atol=0.51)  # Rounded.
    assert isinstance(tokenizer.decode(jax.numpy.asarray(ids)), jax.Array)
    assert tokenizer.fingerprint() == load_as("tokenizer", folder).fingerprint()


def test_what_it_does_not_read(saved):
    tokenizer = saved[0]
    ids = np.zeros((2, 3, 4), np.int32)
    for frames in (FRAMES[0], FRAMES[:, :, :8], FRAMES / 255):
        with pytest.raises(ValueError, match=r"reads clips, uint8 of shape \(B, T, 16, 16, 3\)"):
            tokenizer.encode(frames)
    with pytest.raises(ValueError, match="frames are an empty batch"):
        tokenizer.encode(FRAMES[:0])
    for wrong in (ids[0], ids[..., :3], ids.astype(np.float32)):
        with pytest.raises(ValueError, match=r"are integers of shape \(B, T, 4\)"):
            tokenizer.decode(wrong)
    for wrong in (ids - 1, ids + 16):
        with pytest.raises(ValueError, match="this tokenizer has codes 0..15"):
            tokenizer.decode(wrong)


def test_a_checkpoint_without_a_tokenizer(saved, tmp_path):
    with pytest.raises(CheckpointError, match="kind 'tokenizer', where one of kind 'lam' is need"):
        load_as("lam", saved[1])
    save_model(tmp_path / "run", KIND, {"params": {"a": np.zeros(1)}}, {"model": {"slots": 4}})
    with pytest.raises(CheckpointError, match="is not a tokenizer: its config has no 'model' sect"):
        flexlam_jax.load(tmp_path / "run")
