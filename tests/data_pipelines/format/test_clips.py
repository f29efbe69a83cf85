"""The record format: who owns a transition, features plain TFDS reads, independent frames."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.clips import Clip, clip_rows
from data_pipelines.format.codecs import CODECS, get_codec
from data_pipelines.format.layout import dataset_folder
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.loading.windows import ClipReader
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic


@pytest.mark.parametrize("length", [2, 3, 8, 9, 10, 24, 25, 26, 40])
@pytest.mark.parametrize("stride, max_span", [(8, 4), (1, 1), (4, 9)])
def test_every_window_lies_in_the_record_that_owns_its_first_frame(length, stride, max_span):
    rows = clip_rows(0, length, stride, max_span)
    owned = [t for r in rows for t in range(r.start, r.start + min(stride, r.length - 1))]
    assert owned == list(range(length - 1))
    for row in rows:
        for t in range(row.start, min(row.start + stride, length - 1)):
            assert min(t + max_span, length - 1) < row.start + row.length


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_return_the_frame(name, channels):
    frame = np.random.default_rng(0).integers(0, 256, (24, 17, channels), dtype=np.uint8)
    frame = np.repeat(np.repeat(frame, 8, 0), 8, 1)  # JPEG needs blocks to come close
    codec = get_codec(name)
    decoded = codec.decode(codec.encode(frame), frame.shape)
    assert decoded.shape == frame.shape and decoded.dtype == np.uint8
    error = np.abs(decoded.astype(int) - frame).max()
    assert error == 0 if codec.lossless else error < 32


def test_unknown_codec_lists_the_known():
    with pytest.raises(
        DataError, match="unknown frame codec 'gif'; use one of jpeg, png, raw, zstd"
    ):
        get_codec("gif")


@pytest.mark.parametrize("codec", ["raw", "png", "zstd"])
def test_plain_tfds_reads_the_records_without_this_package(tmp_path, codec):
    """Also for reading by us: the same frames come back whatever the codec."""
    options = recipe_options(
        "synthetic", "--episodes=3", "--length=12", "--size=16", f"--codec={codec}"
    )
    prepare("synthetic", tmp_path / "data", options)
    folder = dataset_folder(tmp_path / "data", "square")
    source = tfds.builder_from_directory(folder).as_data_source("train")
    example = source[0]
    frames, action, reward, state = list(synthetic.episodes(options))[example["episode"]]
    stored = [frame for frame in example["frames"]]
    if codec == "zstd":
        stored = [get_codec("zstd").decode(frame, (16, 16, 3)) for frame in stored]
    np.testing.assert_array_equal(np.stack(stored), frames)
    np.testing.assert_array_equal(example["action"], action)
    np.testing.assert_array_equal(example["state"], state)
    np.testing.assert_array_equal(example["reward"], reward)
    assert example["episode_return"] == reward.sum() and example["codec"] == codec.encode()
    assert (example["start"], example["length"], example["episode_length"]) == (0, 12, 12)
    (batch,) = ordered_batches(tmp_path / "data", split="train", batch_size=100)
    np.testing.assert_array_equal(batch["frames"][:, 1], frames[1:])


def test_tensors_state_their_encoding(square):
    """TFDS's default encoding is 60 times slower than bytes."""
    features = json.loads((dataset_folder(square, "square") / "features.json").read_text())
    features = features["featuresDict"]["features"]
    for label in ("action", "reward", "state"):
        assert features[label]["tensor"]["encoding"] == "bytes"


def test_a_pair_decodes_only_its_own_frames(square, monkeypatch):
    """Every other frame of the record may be garbage."""
    reader = ClipReader(open_dataset(square), "square", "train")
    decoded = []
    original = CODECS["zstd"]
    counting = original._replace(
        decode=lambda data, shape: decoded.append(data) or original.decode(data, shape)
    )
    monkeypatch.setitem(CODECS, "zstd", counting)
    clip = reader.clip(0)
    frames = clip.decode_frames(np.array([3, 5]))
    assert len(decoded) == 2 and frames.shape == (2, 16, 16, 3)


def test_damaged_label_names_dataset_episode_and_remedy(square):
    reader = ClipReader(open_dataset(square), "square", "train")
    clip = reader.clip(0)
    clip._features["action"].bytes_list.value[0] = b"poison!"
    clip.decode_frames(np.array([0, 1]))  # the video is still readable
    where = "dataset square, split 'train', record 0 of shard .*-of-00001 .episode 0 from frame 0."
    with pytest.raises(DataError, match=f"{where}: action holds 7 bytes, expected 44"):
        clip.decode_label("action")


def test_a_record_that_is_no_example(square, monkeypatch):
    reader = ClipReader(open_dataset(square), "square", "train")
    monkeypatch.setattr(reader._shards, "read", lambda record: b"\xff\xff\xff")
    with pytest.raises(DataError, match="record 0 of shard .*: is no record of ours"):
        reader.clip(0)
    assert isinstance(ClipReader(open_dataset(square), "square", "train").clip(0), Clip)
