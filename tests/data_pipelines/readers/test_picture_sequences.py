"""Which folders of pictures are episodes, and how they are read."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.picture_sequences import read_sequence
from data_pipelines.readers.video.sources import find
from tests.data_pipelines.readers.video_files import grey_frames, number, write_video

COUNT = 8


def write_pictures(folder, names, size=(48, 64), *, seed=0):
    """Frame k of a ramp per name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(names, grey_frames(len(names), *size), strict=True):
        Image.fromarray(frame).save(folder / name)


def numbered(count=COUNT, pattern="{:04d}.png"):
    return [pattern.format(k) for k in range(count)]


@pytest.fixture
def source(tmp_path):
    """A source with one good sequence."""
    write_pictures(tmp_path / "source" / "good", numbered())
    return tmp_path / "source"


def found(source):
    """(names of sequences, names of videos, {name: reason} of what is no episode)."""
    result = find(source)
    names = [str(path.relative_to(source)) for path in result.sequences]
    videos = [str(path.relative_to(source)) for path in result.videos]
    assert all(entry.detail for entry in result.skipped)
    return names, videos, {entry.name: entry.reason for entry in result.skipped}


def test_thumbnails_beside_videos(source):
    for k in range(3):
        write_video(source / f"clip{k}.mp4", grey_frames(3))
    write_pictures(source, [f"clip{k}.jpg" for k in range(3)])
    names, videos, skipped = found(source)
    assert names == ["good"] and len(videos) == 3
    assert skipped == {".": "not a sequence"}


@pytest.mark.parametrize("pattern", ["clip{}.jpg", "clip{}_thumb.png", "clip{}-poster.webp"])
def test_thumbnails_in_a_folder_of_their_own(source, pattern):
    for k in range(3):
        write_video(source / f"clip{k}.mp4", grey_frames(3))
    write_pictures(source / "thumbs", numbered(3, pattern))
    names, videos, skipped = found(source)
    assert names == ["good"] and len(videos) == 3 and skipped == {"thumbs": "not a sequence"}


def test_pictures_above_the_episodes(source):
    write_pictures(source, ["readme1.png", "readme2.png"])
    write_pictures(source / "more", numbered())
    names, _, skipped = found(source)
    assert names == ["good", "more"] and skipped == {".": "not a sequence"}


def test_a_sequence_may_have_other_kinds_below_and_beside_it(source):
    """Masks in a sub-folder, one annotation file per frame, a note."""
    write_pictures(source / "good" / "masks", numbered())
    for name in numbered():
        (source / "good" / name).with_suffix(".txt").write_text("0 0.5 0.5 0.1 0.1")
        (source / "good" / name).with_suffix(".json").write_text("{}")
    (source / "good" / "notes.md").write_text("a note")
    assert found(source)[0] == ["good", "good/masks"]


def test_few_figures_among_many_files(source):
    write_pictures(source / "runs", ["figure1.png", "figure2.png"])
    for k in range(9):
        (source / "runs" / f"table{k}.csv").write_text("1")
    assert found(source)[2] == {"runs": "not a sequence"}


def test_unrelated_photographs(source):
    write_pictures(source / "photos", ["IMG_1.jpg", "IMG_2.jpg"], (48, 64))
    write_pictures(source / "photos", ["IMG_3.jpg", "IMG_7.jpg"], (64, 48))
    write_pictures(source / "names", ["cat.jpg", "dog.jpg", "horse.jpg"])
    names, _, skipped = found(source)
    assert names == ["good"]
    assert skipped == {"photos": "not a sequence", "names": "not a sequence"}
    assert all(entry.expected for entry in find(source).skipped)


@pytest.mark.parametrize(
    "patterns", [("left_{}.png", "right_{}.png"), ("{}.jpg", "{}.png"), ("e1_{}.png", "e2_{}.png")]
)
def test_several_sequences_in_one_folder_are_not_joined(source, patterns):
    for pattern in patterns:
        write_pictures(source / "both", numbered(pattern=pattern))
    names, _, skipped = found(source)
    assert names == ["good"] and skipped == {"both": "mixed pictures"}
    assert not find(source).skipped[0].expected


def test_time_stamps_are_numbers(source):
    """Seconds and fractions, as robots name their pictures."""
    names = [f"{k // 4}.{2500 * (k % 4) + 1000 * (k > 3)}.png" for k in range(8)]
    write_pictures(source / "rgb", names)
    assert found(source)[0] == ["good", "rgb"]


def test_a_cover_beside_the_frames_is_no_frame(source):
    Image.new("RGB", (200, 100)).save(source / "good" / "cover.png")
    assert found(source)[0] == ["good"]
    shown = read_sequence(source / "good", size=16, fit="crop", stride=1)
    assert [number(frame) for frame in shown] == list(range(COUNT))


def test_links_to_the_same_picture_stay_frames(source):
    """Frames of a still are stored once; only videos are told apart by their file."""
    for k in range(3, 6):
        (source / "good" / f"{k:04d}.png").unlink()
        (source / "good" / f"{k:04d}.png").symlink_to(source / "good" / "0002.png")
    shown = read_sequence(source / "good", size=16, fit="crop", stride=1)
    assert [number(frame) for frame in shown] == [0, 1, 2, 2, 2, 2, 6, 7]


def test_a_picture_of_another_size_is_told(source):
    Image.new("RGB", (20, 20)).save(source / "good" / "0002.png")
    with pytest.raises(ItemError, match="0002.png: 20 x 20 pixels") as error:
        list(read_sequence(source / "good", size=16, fit="crop", stride=1))
    assert error.value.reason == "picture size" and error.value.frames == COUNT


@pytest.mark.parametrize("kind", ["damaged", "pointer", "postscript"])
def test_a_picture_that_cannot_be_opened_is_told(source, kind):
    texts = {
        "damaged": (source / "good" / "0002.png").read_bytes()[:60],
        "pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    (source / "good" / "0002.png").write_bytes(texts[kind])
    with pytest.raises(ItemError, match="0002.png"):
        list(read_sequence(source / "good", size=16, fit="crop", stride=1))


@pytest.mark.parametrize(
    "mode, suffix", [("I;16", "png"), ("P", "png"), ("RGBA", "png"), ("F", "tif")]
)
def test_kinds_of_pixels(tmp_path, mode, suffix):
    """16-bit grey is scaled by its whole range, not cut off; palettes, alpha and floats as well."""
    (tmp_path / "a").mkdir()
    for k, value in enumerate((64, 128, 192)):
        grey = np.full((20, 20), value, np.uint8)
        image = {
            "I;16": lambda g=grey: Image.fromarray(g.astype(np.uint16) * 257),
            "P": lambda g=grey: Image.fromarray(g).convert("P"),
            "RGBA": lambda g=grey: Image.fromarray(g).convert("RGBA"),
            "F": lambda g=grey: Image.fromarray(g.astype(np.float32) / 255),
        }[mode]()
        image.save(tmp_path / "a" / f"{k}.{suffix}")
    shown = list(read_sequence(tmp_path / "a", size=8, fit="crop", stride=1))
    assert [int(frame.mean()) for frame in shown] == [64, 128, 192]


def test_a_gif_of_one_picture_is_a_picture(source):
    write_pictures(source / "gifs", numbered(pattern="{}.gif"))
    moving = [Image.fromarray(frame) for frame in grey_frames(4)]
    moving[0].save(source / "film.gif", save_all=True, append_images=moving[1:], duration=100)
    names, videos, _ = found(source)
    assert names == ["gifs", "good"] and videos == ["film.gif"]


def test_a_source_of_photographs_only_says_what_they_are(tmp_path):
    write_pictures(tmp_path, ["cat.jpg", "dog.jpg"])
    with pytest.raises(DataError, match="found no videos .* that are not numbered"):
        find(tmp_path)


def test_upper_case_suffixes(tmp_path):
    write_pictures(tmp_path / "a", numbered(pattern="{}.PNG"))
    assert found(tmp_path)[0] == ["a"]
