"""Which stream is read, what is refused before it is decoded, ends that are ends and ends that are
cuts, and the shape of pixels."""

import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.decoding import frames
from data_pipelines.readers.video.opening import open_video
from tests.data_pipelines.readers.video_files import RATE, copy_stream, grey_frames, write_video

COUNT = 26


def fails(path, **options):
    with pytest.raises(ItemError) as error:
        list(frames(path, size=16, **options))
    assert str(path) in str(error.value)
    return error.value


# --- streams --------------------------------------------------------------------------------------


def write_streams(path, sizes, dispositions=()):
    """One H.264 stream per (height, width)."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=RATE) for _ in sizes]
        for stream, (height, width) in zip(streams, sizes, strict=True):
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for stream, name in zip(streams, dispositions, strict=False):
            if name:
                stream.disposition = getattr(type(stream.disposition), name)
        for t in range(3):
            for stream, size in zip(streams, sizes, strict=True):
                picture = av.VideoFrame.from_ndarray(grey_frames(t + 1, *size)[t].copy(), "rgb24")
                picture.pts, picture.time_base = t, Fraction(1, RATE)
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode())


@pytest.mark.parametrize(
    "sizes, dispositions, chosen",
    [
        ([(24, 32), (48, 64), (36, 48)], ("default", None, None), 1),  # the largest
        ([(48, 64), (48, 64)], (None, "default"), 1),  # of equals the default
    ],
)
def test_the_best_stream_is_read(tmp_path, sizes, dispositions, chosen):
    write_streams(tmp_path / "a.mkv", sizes, dispositions)
    with open_video(tmp_path / "a.mkv") as video:
        assert video.stream.index == chosen


def test_a_cover_is_never_the_video(tmp_path):
    """A poster that is larger than the pictures, as download tools embed it."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p"
        cover = container.add_stream("mjpeg", rate=RATE)
        cover.height, cover.width, cover.pix_fmt = 192, 256, "yuvj420p"
        cover.disposition = type(cover.disposition).attached_pic
        for stream, pictures in ((film, grey_frames(3)), (cover, grey_frames(1, 192, 256))):
            for frame in pictures:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    assert len(list(frames(tmp_path / "a.mp4", size=16))) == 3


def test_a_large_stream_of_one_picture_is_not_the_video(tmp_path):
    """A poster that its writer did not mark as one."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p"
        poster = container.add_stream("libx264", rate=RATE)
        poster.height, poster.width, poster.pix_fmt = 192, 256, "yuv420p"
        for stream, shown in ((film, grey_frames(9)), (poster, grey_frames(1, 192, 256))):
            for frame in shown:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    assert len(list(frames(tmp_path / "a.mp4", size=16))) == 9


def test_tags_and_names_in_other_encodings(tmp_path):
    write_video(tmp_path / "b.mkv", grey_frames(5), metadata={"title": "caf__"})
    data = (tmp_path / "b.mkv").read_bytes().replace(b"caf__", b"caf\xe9\xff")
    name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9 %03d: a.mkv"))
    with open(name, "wb") as file:
        file.write(data)
    assert len(list(frames(name, size=16))) == 5


@pytest.mark.parametrize("name", ["big.ivf", "big.gif"])
def test_pictures_above_the_limit_are_refused_before_they_are_unpacked(tmp_path, name):
    if name == "big.gif":
        canvas = b"GIF89a" + struct.pack("<HHBBB", 9000, 9000, 0x80, 0, 0) + bytes(6)
        picture = b"\x21\xf9\x04\0\x0a\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        picture += b"\x02\x02\x44\x01\0"
        (tmp_path / name).write_bytes(canvas + 2 * picture + b";")
    else:
        write_video(tmp_path / "a.ivf", grey_frames(3), "libvpx")
        data = bytearray((tmp_path / "a.ivf").read_bytes())
        struct.pack_into("<HH", data, 12, 16000, 16000)
        struct.pack_into("<HH", data, data.find(b"\x9d\x01\x2a") + 3, 16000, 16000)
        (tmp_path / name).write_bytes(data)
    assert fails(tmp_path / name).reason in ("too large", "corrupt video", "unreadable")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.mp4\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_descriptions_of_other_sources_are_not_opened(tmp_path, text):
    write_video(tmp_path / "a.mp4", grey_frames(3))
    (tmp_path / "b.mp4").write_text(text)
    assert fails(tmp_path / "b.mp4").reason in ("unreadable", "other format")


def test_a_git_lfs_pointer_is_called_one(tmp_path):
    (tmp_path / "a.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert fails(tmp_path / "a.mp4").reason == "git-lfs pointer"


# --- ends -----------------------------------------------------------------------------------------

SOUNDING = {"a.mkv": "libx264", "b.webm": "libvpx", "c.mp4": "libx264"}


@pytest.mark.parametrize("name", SOUNDING)
def test_sound_may_outlast_the_pictures(tmp_path, name):
    write_video(tmp_path / name, grey_frames(COUNT), SOUNDING[name], sound=8)
    assert len(list(frames(tmp_path / name, size=16))) == COUNT


CUT = {  # name -> codec, seconds of sound
    "a.mkv": ("libx264", 0),
    "b.webm": ("libvpx", 8),
    "c.avi": ("mpeg4", 0),
    "d.flv": ("flv", 0),
    "e.ts": ("libx264", 0),
    "f.wmv": ("wmv2", 0),
}


@pytest.mark.parametrize("name", CUT)
def test_cut_files_are_no_shorter_episodes(tmp_path, name):
    codec, sound = CUT[name]
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (40, 48, 64, 3), np.uint8)
    options = {"codec_options": {"g": "10"}, "sound": sound}
    write_video(tmp_path / name, noise, codec, **options)
    assert len(list(frames(tmp_path / name, size=16))) == 40
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2 + 41])
    error = fails(tmp_path / name)
    assert error.reason in ("truncated video", "corrupt video"), str(error)


def test_a_cut_file_says_how_many_frames_are_lost(tmp_path):
    write_video(tmp_path / "b.mkv", grey_frames(COUNT), codec_options={"g": "5"})
    data = (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    assert fails(tmp_path / "a.mkv").frames == COUNT
    assert fails(tmp_path / "a.mkv", fps=5.0).frames == COUNT / 2
    assert fails(tmp_path / "a.mkv", stride=13).frames == 2


def test_live_recordings_promise_no_duration(tmp_path):
    options = {"container_options": {"live": "1"}}
    write_video(tmp_path / "a.webm", grey_frames(COUNT), "libvpx", **options)
    with open_video(tmp_path / "a.webm") as video:
        assert video.info.duration == 0
    assert len(list(frames(tmp_path / "a.webm", size=16))) == COUNT


# --- shape of pixels ------------------------------------------------------------------------------


def disc(width, height, wide):
    """uint8 (3, height, width, 3): a bright ellipse, `wide` times as wide as high, in pixels."""
    image = Image.new("RGB", (width, height), (40, 40, 40))
    x, y, r = width / 2, height / 2, height / 5
    ImageDraw.Draw(image).ellipse((x - r * wide, y - r, x + r * wide, y + r), fill=(240, 240, 240))
    return np.repeat(np.asarray(image)[None], 3, 0)


def roundness(frame):
    bright = frame[..., 0] > 140
    down, across = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return len(range(across[0], across[-1] + 1)) / len(range(down[0], down[-1] + 1))


@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(2), Fraction(1, 2), Fraction(1)])
@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mpg", "mpeg2video")]
)
def test_a_circle_stays_a_circle(tmp_path, aspect, name, codec):
    """Stored in pixels that are not square, as DV, DVD and anamorphic films are."""
    width = round(256 / aspect / 16) * 16
    if codec == "mpeg2video":  # knows a few shapes of the whole picture only
        aspect, width = Fraction(4, 3) * Fraction(192, width), width
    picture = disc(width, 192, 1 / float(aspect))
    rate = 25 if codec == "mpeg2video" else RATE
    write_video(tmp_path / name, picture, codec, rate=rate, pixel_aspect=aspect)
    first = next(frames(tmp_path / name, size=96))
    assert abs(roundness(first) - 1) < 0.07


def test_a_turned_circle_stays_a_circle(tmp_path):
    write_video(tmp_path / "b.mp4", disc(128, 192, 0.5), pixel_aspect=Fraction(2))
    with av.open(str(tmp_path / "b.mp4")) as old, av.open(str(tmp_path / "a.mp4"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    first = next(frames(tmp_path / "a.mp4", size=96))
    assert abs(roundness(first) - 1) < 0.07


def test_an_absurd_shape_is_not_believed(tmp_path):
    write_video(tmp_path / "a.mkv", disc(256, 192, 1), pixel_aspect=Fraction(200))
    assert abs(roundness(next(frames(tmp_path / "a.mkv", size=96))) - 1) < 0.07


def test_a_picture_changes_its_size_in_the_middle(tmp_path):
    """Two bare streams one after the other: every picture is fitted for itself."""
    for name, size in (("a", (48, 64)), ("b", (96, 128))):
        write_video(tmp_path / f"{name}.h264", grey_frames(5, *size))
    both = (tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes()
    (tmp_path / "c.h264").write_bytes(both)
    assert [frame.shape for frame in frames(tmp_path / "c.h264", size=32)] == 10 * [(32, 32, 3)]


def test_stamps_of_a_copy_stay_stamps(tmp_path):
    """Copying with the right stamps changes nothing: the guard for bad ones stays silent."""
    write_video(tmp_path / "b.mp4", grey_frames(COUNT), codec_options={"bf": "3"})
    copy_stream(tmp_path / "b.mp4", tmp_path / "a.mkv", lambda n, pts, dts: (pts, dts))
    facts = {}
    assert len(list(frames(tmp_path / "a.mkv", size=16, facts=facts))) == COUNT
    assert "times" not in facts
