"""A user's own videos: every container, right frames, failures counted."""

import os
import sys

import numpy as np
import pytest
from PIL import Image

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.framing import square_frame
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.readers.video import recipe as videos_recipe
from data_pipelines.readers.video.recipe import read_item
from data_pipelines.readers.video.sources import find
from data_pipelines.registry import recipe_options
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers.video_files import RATE, grey_frames, write_video

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


# --- what a source may hold -----------------------------------------------------------------------


def planned(source, *more):
    return videos_recipe.plan(recipe_options("videos", f"--source={source}", "--size=16", *more))


def write_clips(folder, names, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        write_video(folder / name, pictures(seed), "mpeg4", **options)
    return folder


OTHERS = {  # name -> codec
    "a.ts": "libx264",
    "b.MTS": "libx264",
    "c.mpg": "mpeg2video",
    "d.3gp": "libx264",
    "e.WMV": "wmv2",
    "f.flv": "flv",
    "g.M4V": "libx264",
    "h.ogv": "libvpx",
    "i.vob": "mpeg2video",
    "j.mjpeg": "mjpeg",
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_kind_of_file_is_read(tmp_path, name):
    codec = OTHERS[name]
    formats = {".mts": "mpegts", ".wmv": "asf", ".m4v": "mp4", ".vob": "vob"}
    suffix = "." + name.split(".")[1].lower()
    named = {"format": formats[suffix]} if suffix in formats else {}
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_video(tmp_path / name, pictures(0), codec, pixels, rate=25, **named)
    [path] = find(tmp_path).videos
    assert len(list(read_item(path, size=16, fps=0, stride=1))) == COUNT


def test_what_is_passed_over_is_counted(tmp_path):
    write_clips(tmp_path, ["a.mp4", "b.mp4", "c.mp4"])
    (tmp_path / "film.rmvb").write_bytes(b".RMF")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "._a.mp4").write_bytes(b"\x00\x05\x16\x07")
    os.mkfifo(tmp_path / "pipe.mp4")
    plan = planned(tmp_path)
    assert plan.passed_over[".rmvb"] == {"files": 1, "example": "film.rmvb"}
    assert [(entry.name, entry.reason) for entry in plan.skipped] == [("pipe.mp4", "not a file")]


def test_source_text_called_ts_is_no_video(tmp_path):
    write_clips(tmp_path, ["a.mp4", "b.mp4", "c.mp4"])
    (tmp_path / "viewer.ts").write_text("const title = 'clips é';\n" * 200, encoding="utf-8")
    plan = planned(tmp_path, "--max-failures=0")
    assert len(plan.items) == 3
    assert [(entry.name, entry.expected) for entry in plan.skipped] == [("viewer.ts", True)]


def test_names_of_one_file_are_one_episode(tmp_path):
    """Links beside their target, two links to one file, and a cache of links to nameless blobs."""
    source = write_clips(tmp_path / "source", ["b.mp4", "c.mp4"])
    (source / "a.mp4").symlink_to(source / "b.mp4")
    os.link(source / "c.mp4", source / "d.mp4")
    blobs = write_clips(tmp_path / "blobs", ["x.mp4"])
    (blobs / "x.mp4").rename(blobs / "0a1b")
    for revision in ("1", "2"):
        (source / "snapshots" / revision).mkdir(parents=True)
        (source / "snapshots" / revision / "e.mp4").symlink_to(blobs / "0a1b")
    found = find(source)
    names = [str(path.relative_to(source)) for path in found.videos]
    assert names == ["b.mp4", "c.mp4", "snapshots/1/e.mp4"]
    twins = [(entry.name, entry.reason, entry.expected) for entry in found.skipped]
    assert twins == [(name, "same file", True) for name in ("a.mp4", "d.mp4", "snapshots/2/e.mp4")]
    assert "the same file as b.mp4" in found.skipped[0].detail


@pytest.mark.parametrize("below", ["", "set"])
def test_sets_of_other_commands_are_refused_with_their_command(tmp_path, below):
    root = write_clips(tmp_path / below, ["a.mp4", "b.mp4", "c.mp4"])
    (root / "meta").mkdir()
    (root / "meta" / "info.json").write_text('{"codebase_version": "v2.1"}')
    with pytest.raises(DataError, match=f"prepare lerobot --source={root}`"):
        planned(tmp_path)
    (root / "meta" / "info.json").write_text('{"title": "no set at all"}')
    assert len(planned(tmp_path).items) == 3
    for name in ("features.json", "dataset_info.json"):
        (root / name).write_text("{}")
    with pytest.raises(DataError, match=f"prepare rlds --source={root}`"):
        planned(tmp_path)


def test_a_folder_of_hdf5_files_is_refused_with_its_command(tmp_path):
    for name in ("a.hdf5", "b.h5"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match="prepare libero"):
        planned(tmp_path)
    write_clips(tmp_path, ["a.mp4", "b.mp4", "c.mp4"])
    assert len(planned(tmp_path).items) == 3  # and here they lie beside the videos


# --- the stored rate ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, stored, note",
    [
        ((), RATE, None),
        (("--stride=2",), RATE / 2, None),
        (("--fps=5",), 5, None),
        (("--fps=40",), RATE, "--fps=40 is above the rate of 3 files"),
    ],
)
def test_the_rate_of_files_that_agree_is_stored(tmp_path, arguments, stored, note):
    plan = planned(write_clips(tmp_path, ["a.mp4", "b.mp4", "c.mp4"]), *arguments)
    assert plan.specs[0].fps == stored
    assert plan.sources["rates"] == {"10/s": 3}
    assert note is None or note in " ".join(plan.sources["notes"])


def test_rates_that_differ_or_vary_are_not_stored_and_said(tmp_path):
    write_clips(tmp_path, ["a.mp4", "b.mp4"])
    write_video(tmp_path / "c.mp4", pictures(3), "mpeg4", rate=25)
    plan = planned(tmp_path)
    assert plan.specs[0].fps == 0 and plan.sources["rates"] == {"10/s": 2, "25/s": 1}
    assert "no one constant rate" in plan.sources["notes"][0]
    assert planned(tmp_path, "--fps=5").specs[0].fps == 5
    assert planned(tmp_path, "--fps=20").specs[0].fps == 0
    stamps = [*range(0, 2000, 200), *range(2000, 2500, 50)]
    write_video(tmp_path / "c.mp4", pictures(3), stamps=stamps)
    assert planned(tmp_path).sources["rates"] == {"10/s": 2, "variable": 1}


@pytest.mark.parametrize("name, codec", [("2.mkv", "libx264"), ("2.webm", "libvpx")])
def test_a_nominal_rate_that_the_stamps_do_not_keep_is_not_stored(tmp_path, name, codec):
    """Matroska states one rate of recordings whose rate varies as well."""
    for k in range(2):
        write_video(tmp_path / f"{k}.mkv", grey_frames(26), codec_options={"bf": "3"})
    stamps = [*range(0, 2000, 200), *range(2000, 2800, 50)]
    write_video(tmp_path / name, grey_frames(26), codec, stamps=stamps)
    plan = planned(tmp_path)
    assert plan.specs[0].fps == 0 and plan.sources["rates"] == {"10/s": 2, "variable": 1}


def test_files_without_times_are_named(tmp_path):
    write_clips(tmp_path, ["a.avi", "b.avi", "c.mp4"])
    [note] = planned(tmp_path).sources["notes"]
    assert note.startswith("2 files (avi) have no presentation times")
    assert planned(tmp_path).specs[0].fps == RATE


def test_episodes_know_their_own_rate(tmp_path):
    source = write_clips(tmp_path / "source", ["a.avi", "b.mp4", "c.mp4"])
    prepare("videos", tmp_path / "out", recipe_options("videos", f"--source={source}"))
    info = open_dataset(tmp_path / "out")
    known = {}
    for split in ("train", "validation", "test"):
        for episode in info.episodes("videos", split):
            known[episode["source"]] = episode["native_fps"], episode.get("times", "")
    assert known["b.mp4"] == known["c.mp4"] == (RATE, "")
    assert known["a.avi"] == (RATE, "frame numbers at 10/s: the file has no time stamps")


def test_pictures_have_the_rate_that_is_said(tmp_path):
    for seed in range(3):
        write_images(tmp_path / str(seed), pictures(seed))
    assert planned(tmp_path).specs[0].fps == 0
    assert planned(tmp_path, "--fps=12").specs[0].fps == 12
