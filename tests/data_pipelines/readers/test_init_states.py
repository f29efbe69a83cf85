"""LIBERO's initial states: plain arrays are read, anything else is refused."""

import collections
import os
import pickle
import zipfile

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.libero.init_states import MAX_BYTES, read_init_states

STATES = np.random.default_rng(0).normal(size=(50, 92))


def write(path, payload, name="archive/data.pkl", protocol=2, extra=()):
    data = payload if isinstance(payload, bytes) else pickle.dumps(payload, protocol)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.writestr("archive/version", "3\n")
        for member in extra:
            archive.writestr(member, b"x")
    return path


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_arrays_are_read(tmp_path, dtype, order):
    array = np.asarray(STATES, dtype, order=order)
    found = read_init_states(write(tmp_path / "a.pruned_init", array))
    np.testing.assert_array_equal(found, array.astype(np.float64))
    assert found.dtype == np.float64 and found.shape == (50, 92)


def test_name_of_older_numpy(tmp_path):
    old = pickle.dumps(STATES, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    np.testing.assert_array_equal(read_init_states(write(tmp_path / "a", old)), STATES)


class Calls:
    """Pickles as a call of `function(*arguments)`, perhaps with a state for what it returns."""

    def __init__(self, function, arguments, state=None):
        self.reply = (function, arguments, state)

    def __reduce__(self):
        return self.reply


def malicious(marker):
    command = f"touch {marker}"
    inside = f"__import__('os').system({command!r})"
    state = (1, (1,), np.dtype("f8"), False, b"\0" * 8)
    return {
        "system": Calls(os.system, (command,)),
        "eval": Calls(eval, (inside,)),
        "exec in an argument": Calls(np.ndarray, (Calls(exec, (inside,)),)),
        "list of arrays": [STATES],
        "array of objects": np.array([[Calls(os.system, (command,))]], object),
        "integers": np.arange(6).reshape(2, 3),
        "text": np.array([["a", "b"]]),
        "structured": np.zeros((2, 2), [("x", "f8")]),
        "another callable of numpy": Calls(np.load, (str(marker),)),
        "dtype by name": Calls(np.dtype, ("O",)),
        "state of a dictionary": collections.OrderedDict(a=STATES),
        "state set on a function": Calls(np.dtype, ("f8", False, True), {"a": 1}),
        "nothing": None,
        "state of a wrong kind": Calls(
            np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), {1: 2}
        ),
        "other class": Calls(np._core.multiarray._reconstruct, (np.matrix, (0,), b"b"), state),
    }


@pytest.mark.parametrize("name", malicious("x"))
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused_and_never_run(tmp_path, name, protocol):
    marker = tmp_path / "ran"
    path = write(tmp_path / "a.pruned_init", malicious(marker)[name], protocol=protocol)
    with pytest.raises(DataError, match="not unpickled"):
        read_init_states(path)
    assert not marker.exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
MINUS_ONE = b"J\xff\xff\xff\xff"
DTYPE = b"cnumpy\ndtype\n(X\x02\0\0\0f8\x89\x88tR(K\x03X\x01\0\0\0<NNN" + 2 * MINUS_ONE + b"K\x00tb"
CODED = b"c_codecs\nencode\n(X\x08\0\0\0" + b"\1" * 8 + b"X\x06\0\0\0latin1tR"


def hand_made(shape=b"(K\x01K\x01t", dtype=DTYPE, contents=CODED, tail=b""):
    reconstruct = RECONSTRUCT.replace(b"U\x01b", b"X\x01\0\0\0b")
    parts = (
        b"\x80\x02",
        reconstruct,
        b"(K\x01",
        shape,
        dtype,
        b"\x89",
        contents,
        b"tb",
        tail,
        b".",
    )
    return b"".join(parts)


def test_hand_made_pickle_is_read(tmp_path):
    """The base of the next test: without a fault it is accepted."""
    assert read_init_states(write(tmp_path / "a", hand_made())).shape == (1, 1)


@pytest.mark.parametrize(
    "payload",
    [
        hand_made(shape=b"(K\x02K\x01t"),  # fewer bytes than the shape needs
        hand_made(shape=b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"),  # exabytes
        hand_made(shape=b"(J\xff\xff\xff\xffJ\xff\xff\xff\xfft"),  # negative sides
        hand_made(dtype=DTYPE.replace(b"f8", b"O8")),
        hand_made(contents=CODED.replace(b"latin1", b"rot_13")),
        hand_made(tail=b"(K\x01(K\x01K\x01t" + DTYPE + b"\x89" + CODED + b"tb"),  # filled twice
        hand_made(tail=b"K\x01"),  # two values
        hand_made(tail=b"0"),  # an instruction that arrays do not need
        hand_made(contents=b"c_codecs\nencode\n" * 200),
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x02(X\x04\0\0\0pathios\nsystem\n.",  # INST names and calls in one
        b"\x80\x02}.",
        b"\x80\x02h\x05.",  # a memory that was never written
        b"\x80\x02tR.",
        b"R.",
        b"not a pickle",
        b"",
        hand_made()[:-30],
        pickle.dumps(np.full((2, 2), np.nan), 2),
        pickle.dumps(np.zeros(5), 2),
    ],
)
def test_tricks_and_damage_are_refused(tmp_path, payload):
    with pytest.raises(DataError):
        read_init_states(write(tmp_path / "a.pruned_init", payload))


@pytest.mark.parametrize("member", ["../evil", "/etc/evil", "a\\..\\b"])
def test_member_that_leaves_the_archive(tmp_path, member):
    with pytest.raises(DataError, match="leaves the archive"):
        read_init_states(write(tmp_path / "a", STATES, extra=[member]))


def test_zip_bomb_is_not_unpacked(tmp_path):
    with pytest.raises(DataError, match="bytes"):
        read_init_states(write(tmp_path / "a", b"\0" * (MAX_BYTES + 1)))


def test_no_zip_no_pickle_two_pickles(tmp_path):
    (tmp_path / "plain").write_bytes(pickle.dumps(STATES, 2))
    for path in (
        tmp_path / "plain",
        tmp_path / "absent",
        write(tmp_path / "other", STATES, name="archive/model.pkl"),
        write(tmp_path / "two", STATES, extra=["b/data.pkl"]),
    ):
        with pytest.raises(DataError, match="plain initial states"):
            read_init_states(path)
