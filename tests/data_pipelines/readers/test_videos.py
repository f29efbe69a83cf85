"""A user's own videos: every container, right frames, failures counted."""

import sys

import numpy as np
import pytest
from PIL import Image

from data_pipelines.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.framing import square_frame
from data_pipelines.loader import ordered_batches
from data_pipelines.manifest import open_dataset
from data_pipelines.registry import recipe_options
from data_pipelines.validation import validate
from data_pipelines.readers.videos import find, read_item
from tests.data_pipelines.readers.video_files import RATE, write_video

COUNT = 20


def pictures(seed):
    """uint8 (COUNT, 48, 64, 3): a coarse texture that brightens, its first blocks red."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 100, (6, 8, 3), dtype=np.uint8)
    coarse[:, 0] = (255, 0, 0)
    base = np.repeat(np.repeat(coarse, 8, 0), 8, 1)
    frames = np.repeat(base[None], COUNT, 0)
    frames[:, :, 8:] += (5 * np.arange(COUNT, dtype=np.uint8))[:, None, None, None]
    return frames


def write_images(folder, frames):
    folder.mkdir()
    for i, frame in enumerate(frames):
        # By letters frame10 would sort before frame2.
        Image.fromarray(frame).save(folder / f"frame{i}.png")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """mp4, webm, gif, a folder of images, and two files that cannot be read."""
    root = tmp_path_factory.mktemp("source")
    write_video(root / "a.mp4", pictures(0), "mpeg4", "yuv420p")
    write_video(root / "b.webm", pictures(1), "libvpx", "yuv420p")
    write_video(root / "c.gif", pictures(2), "gif", "rgb8")
    write_images(root / "d", pictures(3))
    write_images(root / "e", pictures(4))
    (root / "f.mp4").write_bytes((root / "a.mp4").read_bytes()[:700])
    (root / "g.mp4").write_bytes(b"")
    (root / "notes.txt").write_text("not a video")
    (root / "linked.mp4").symlink_to("/etc/hostname")
    return root


@pytest.fixture(scope="module")
def videos(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("videos") / "data"
    options = recipe_options("videos", f"--source={source}", "--size=32", "--max-failures=0.4")
    prepare("videos", out, options)
    return out


def test_every_readable_item_is_an_episode_and_the_rest_is_listed(videos):
    info = open_dataset(videos)
    assert info.manifest["episodes"] == 5 and info.manifest["transitions"] == 5 * (COUNT - 1)
    assert info.manifest["skipped"] == {"unreadable": 2, "empty file": 1}
    names = [item[0] for item in info.manifest["skipped_items"]]
    assert names == ["f.mp4", "g.mp4", "linked.mp4"]
    assert info.manifest["sources"]["items"] == 8
    assert info.datasets["videos"].labels == () and info.image_shape == (32, 32, 3)
    validate(videos)


def test_frames_are_in_order_and_in_rgb(videos, source):
    for split in ("train", "validation", "test"):
        for batch in ordered_batches(videos, split=split, batch_size=1000):
            for episode in np.unique(batch["episode"]):
                frames = batch["frames"][batch["episode"] == episode]
                light = frames[:, 0, :, 16:].mean(axis=(1, 2, 3))
                # Lossy video and gif palettes blur the ramp a little; disorder would destroy it.
                assert np.corrcoef(light, np.arange(len(light)))[0, 1] > 0.99, episode
    for item in ("a.mp4", "b.webm", "c.gif", "d"):
        stretched = next(read_item(source / item, size=32, fit="stretch", fps=0, stride=1))
        red, green, blue = stretched[:, :3].mean(axis=(0, 1))
        assert red > 200 and green < 40 and blue < 40, item


def test_image_folders_are_read_in_natural_order_without_loss(source):
    frames = list(read_item(source / "d", size=48, fit="crop", fps=0, stride=1))
    np.testing.assert_array_equal(np.stack(frames), pictures(3)[:, :, 8:56])


@pytest.mark.parametrize(
    "fps, stride, kept", [(0, 1, 20), (0, 3, 7), (5, 1, 10), (5, 2, 5), (30, 1, 20)]
)
def test_frame_rate_and_stride(source, fps, stride, kept):
    frames = list(read_item(source / "a.mp4", size=16, fps=fps, stride=stride))
    assert len(frames) == kept
    every = list(read_item(source / "a.mp4", size=16, fps=0, stride=1))
    step = stride * (RATE // fps if 0 < fps < RATE else 1)
    np.testing.assert_array_equal(np.stack(frames), np.stack(every[::step]))


def test_links_are_followed_unless_forbidden(source):
    assert "linked.mp4" in {path.name for path in find(source).videos}
    found = find(source, links=False)
    assert "linked.mp4" not in {path.name for path in found.videos}
    assert ("linked.mp4", "link") in {(entry.name, entry.reason) for entry in found.skipped}


def test_too_many_failures_stop_the_job(source, tmp_path):
    options = recipe_options("videos", f"--source={source}", "--size=32")
    with pytest.raises(
        DataError, match="of 8 episodes .* cannot be used, more than --max-failures=0.1 allows"
    ):
        prepare("videos", tmp_path / "data", options)
    assert not (tmp_path / "data").exists()


def test_bad_sources_and_options(tmp_path):
    def build(*arguments):
        prepare("videos", tmp_path / "out", recipe_options("videos", *arguments))

    with pytest.raises(DataError, match="no such folder"):
        build(f"--source={tmp_path / 'nothing'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found no videos"):
        build(f"--source={tmp_path / 'empty'}")
    with pytest.raises(DataError, match="--stride must be >= 1"):
        build(f"--source={tmp_path}", "--stride=0")
    with pytest.raises(DataError, match="--fps >= 0"):
        build(f"--source={tmp_path}", "--fps=nan")
    with pytest.raises(DataError, match="--name is 'My videos'"):
        build(f"--source={tmp_path}", "--name=My videos")


def test_missing_decoder_names_the_extra(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'flexlam_jax\[datasets\]'"):
        prepare("videos", tmp_path / "data", recipe_options("videos", f"--source={source}"))


def test_image_folders_need_no_video_decoder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for seed in range(3):
        (tmp_path / "source").mkdir(exist_ok=True)
        write_images(tmp_path / "source" / str(seed), pictures(seed))
    options = recipe_options("videos", f"--source={tmp_path / 'source'}", "--size=16")
    prepare("videos", tmp_path / "data", options)
    assert open_dataset(tmp_path / "data").manifest["episodes"] == 3


def test_photographs_held_upright_are_turned(tmp_path):
    """EXIF orientation 6: show this turned clockwise by 90 degrees."""
    (tmp_path / "d").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = pictures(0)[0, :, 8:56]
    for i in range(2):
        Image.fromarray(frame).save(tmp_path / "d" / f"{i}.png", exif=exif)
    first = next(read_item(tmp_path / "d", size=48, fps=0, stride=1))
    np.testing.assert_array_equal(first, np.rot90(frame, -1))


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (10, 10)])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_square_frame_has_the_size_asked_for(size, fit):
    assert square_frame(Image.new("L", size, 128), 32, fit).shape == (32, 32, 3)
