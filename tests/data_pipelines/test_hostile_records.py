"""Records that are not what the spec says: told cheaply, with dataset, split, shard and record."""

import io
import tracemalloc

import numpy as np
import pytest
import zstandard
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.loading.windows import ClipReader
from tests.data_pipelines.damage import change_dataset, change_record

SHAPE = (16, 16, 3)
WHERE = r"dataset square, split 'train', record 3 of shard .*-of-00001 \(episode 0 from frame 24\)"


def read(folder, fields=()):
    return list(ordered_batches(folder, split="train", fields=fields))


def picture(format, size=(16, 16), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


def zstd(size, known=True):
    return zstandard.ZstdCompressor(write_content_size=known).compress(bytes(size))


@pytest.mark.parametrize(
    "codec, data",
    [
        ("zstd", zstd(1 << 28)),
        ("zstd", zstd(1 << 28, known=False)),
        ("zstd", zstd(767)),
        ("zstd", b"no frame"),
        ("zstd", b""),
        ("raw", bytes(767)),
        ("png", picture("JPEG")),
        ("png", picture("PNG", (17, 16))),
        ("png", picture("PNG", (9000, 9000), "1")),
        ("png", picture("PNG", mode="L")),
        ("png", picture("PNG")[:45]),
        ("jpeg", picture("PNG")),
        ("jpeg", picture("JPEG", (8, 32))),
        ("jpeg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n"),
    ],
)
def test_a_frame_that_unpacks_to_something_else(copy, codec, data):
    change_dataset(copy, lambda entry: entry["spec"].update(codec=codec))

    def forge(features):
        frames = features["frames"].bytes_list.value
        frames[:] = [get_codec(codec).encode(np.zeros(SHAPE, np.uint8))] * len(frames)
        frames[1] = data

    change_record(copy, 3, forge)
    clip = ClipReader(open_dataset(copy), "square", "train").clip(3)
    clip.decode_frames(np.array([0]))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"{WHERE}: frame 1 does not decode from {codec}"):
            clip.decode_frames(np.array([0, 1]))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", ["raw", "png", "zstd"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_of_the_right_shape_are_unpacked(codec, channels):
    frame = np.random.default_rng(0).integers(0, 256, (6, 4, channels), dtype=np.uint8)
    decode = get_codec(codec).decode
    np.testing.assert_array_equal(decode(get_codec(codec).encode(frame), frame.shape), frame)


def test_zstd_frames_that_keep_their_size_to_themselves_are_read():
    assert not get_codec("zstd").decode(zstd(768, known=False), SHAPE).any()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f["frames"].bytes_list.value.pop(), "starts at frame 24 and holds 2"),
        (lambda f: f["frames"].bytes_list.Clear(), "holds 0"),
        (lambda f: f["start"].int64_list.value.__setitem__(0, 5), "starts at frame 5"),
        (
            lambda f: f["episode"].int64_list.value.__setitem__(0, 7),
            "of episode 7, the index says .* and 0",
        ),
        (lambda f: f["start"].int64_list.Clear(), "start holds 0 numbers, expected one"),
        (lambda f: f["action"].bytes_list.Clear(), "action holds 0 bytes, expected 8"),
        (lambda f: f["action"].bytes_list.value.__setitem__(0, bytes(9)), "action holds 9 bytes"),
        (
            lambda f: f["action"].bytes_list.value.__setitem__(0, b"\xff\0\0\0" * 2),
            "actions 255..255, expected 0..4",
        ),
        (lambda f: f["reward"].bytes_list.value.append(b""), "reward holds 0 bytes"),
    ],
)
def test_a_record_that_does_not_hold_what_the_index_and_the_spec_say(copy, change, message):
    change_record(copy, 3, change)
    with pytest.raises(DataError, match=f"{WHERE}: .*{message}"):
        read(copy, ("action", "reward", "state"))
