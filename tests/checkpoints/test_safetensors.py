"""Safetensors files: what they hold is read as it is, and what is wrong with one is told."""

import json
import pickle

import ml_dtypes
import numpy as np
import pytest

from flexlam_jax.checkpoints.safetensors import Maps, open_tensors
from flexlam_jax.checkpoints.safetensors_header import read_header
from flexlam_jax.errors import CheckpointError
from tests.loading.safetensors_files import header_of, write

TENSORS = {
    "odd": np.arange(3, dtype=np.uint8),  # What follows is not aligned.
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.bias": np.array([1.5, -2], ml_dtypes.bfloat16),
    "c": np.float16(0.25).reshape(()),
    "empty": np.zeros((0, 4), np.float32),
}


def test_what_is_written_is_read(tmp_path):
    file = write(tmp_path / "model.safetensors", TENSORS)
    stored = open_tensors(file)
    with Maps() as maps:
        for name, array in TENSORS.items():
            read = maps.array(stored[name])
            np.testing.assert_array_equal(read, array, strict=True)
            assert not (read.size and read.flags.writeable)
            maps.forget(stored[name])
            np.testing.assert_array_equal(read, array)  # From the file, once more.


def test_a_folder_of_several_files(tmp_path):
    folder = tmp_path / "transformer"
    folder.mkdir()
    one = write(folder / "part-1.safetensors", {"a": TENSORS["a.weight"]})
    write(folder / "part-2.safetensors", {"b": TENSORS["b.bias"], "more": TENSORS["odd"]})
    with pytest.raises(CheckpointError, match=r"several models \(part-1.*name the file"):
        open_tensors(folder)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    table = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    index.write_text(json.dumps({"weight_map": table}))
    stored = open_tensors(folder)
    assert set(stored) == {"a", "b"} and stored["a"].file == one
    for wrong, told in (
        ({**table, "c": "part-2.safetensors"}, "has c in part-2.*does not hold it"),
        ({"a": "../part-1.safetensors"}, "not one beside it"),
        ({"a": 3}, "damaged"),
        ({"a": "part-3.safetensors"}, "part-3.safetensors cannot be read"),
    ):
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(CheckpointError, match=told):
            open_tensors(folder)


def changed(**entry):
    header = header_of(TENSORS)
    header["a.weight"] |= entry
    return json.dumps(header)


@pytest.mark.parametrize(
    "text, cut, told",
    [
        (None, 5, "cut off.*tensor b.bias|cut off.*tensor c"),
        (
            changed(shape=[2**40, 2**20], data_offsets=[3, 3 + 2**62]),
            0,
            "ends at byte .* of a file of",
        ),
        (changed(shape=[2**62] * 9), 0, "does not make the 24 bytes"),
        (changed(shape=[2, 4]), 0, "a.weight of F32 and shape .*does not make the 24 bytes"),
        (changed(shape=[-2, -3]), 0, "no whole numbers"),
        (changed(shape=[True, 6]), 0, "no whole numbers"),
        (changed(data_offsets=[27, 3]), 0, "does not make"),
        (changed(data_offsets=[1, 25]), 0, "odd and a.weight share bytes"),
        (changed(dtype="F4"), 0, "type 'F4'"),
        (changed(dtype=["F32"]), 0, "type"),
        ('{"a": 1}', 0, "lacks type, shape or place"),
        ('{"a": {"dtype": "F32"}}', 0, "lacks type"),
        ("[1]", 0, "no table of tensors"),
        ("[" * 10_000, 0, "not JSON"),
        ('{"a": 1, "a": 2}', 0, "twice"),
        (json.dumps(header_of(TENSORS))[:-9], 0, "not JSON"),
    ],
)
def test_a_bad_header_is_told(tmp_path, text, cut, told):
    file = write(tmp_path / "bad.safetensors", TENSORS, text=text, cut=cut)
    with pytest.raises(CheckpointError, match=told) as error:
        read_header(file)
    assert "bad.safetensors" in str(error.value) and len(str(error.value)) < 500


def test_what_is_no_such_file_is_told(tmp_path):
    file = tmp_path / "model.safetensors"
    for content, told in (
        (b"", "cut off: it has 0 bytes"),
        ((50).to_bytes(8, "little") + b"{", "cut off: it has 9 bytes, its header alone 50"),
        ((2**60).to_bytes(8, "little") + b"{}" * 9, "a header of 1152921504606846976 bytes"),
        (b"PK\x03\x04" + bytes(60), "a pickle by its first bytes"),
        (pickle.dumps({"a": 1}), "a pickle by its first bytes"),
    ):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=told):
            open_tensors(file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_tensors(tmp_path / "gone.safetensors")


def test_pickles_are_refused_with_what_to_do(tmp_path):
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"")
    for place in (file, tmp_path):
        with pytest.raises(CheckpointError, match="is a pickle.*take the .safetensors file"):
            open_tensors(place)
    file.unlink()
    with pytest.raises(CheckpointError, match="holds no .safetensors file"):
        open_tensors(tmp_path)
