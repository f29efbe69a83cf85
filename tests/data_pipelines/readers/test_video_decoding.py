"""Decoding: which frame, which way up, which colours, and what damaged files are called."""

import os
import struct

import av
import numpy as np
import pytest
from PIL import Image

from data_pipelines.format.framing import square_frame
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.decoding import frames, timed_frames, video_info
from tests.data_pipelines.readers.video_files import (
    RATE,
    grey_frames,
    number,
    write_sound,
    write_video,
)

COUNT = 26
H264 = {"codec_options": {"g": "8", "bf": "2", "b-pyramid": "normal"}}  # with reordered frames
KINDS = {
    "a.mp4": ("libx264", "yuv420p", H264),
    "b.webm": ("libvpx-vp9", "yuv420p", {}),
    "c.mp4": ("mpeg4", "yuv420p", {"codec_options": {"bf": "2", "qmax": "2"}}),
    "d.avi": ("mpeg4", "yuv420p", {}),
    "e.mkv": ("libx264", "yuv444p", H264),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("decoding")
    for name, (codec, pixels, options) in KINDS.items():
        write_video(root / name, grey_frames(COUNT), codec, pixels, **options)
    pictures = [Image.fromarray(frame) for frame in grey_frames(COUNT)]
    pictures[0].save(root / "f.gif", save_all=True, append_images=pictures[1:], duration=100)
    return root


def shown(path, **options):
    """Numbers of the frames that come out."""
    return [number(frame) for frame in frames(path, size=16, **options)]


@pytest.mark.parametrize("name", [*KINDS, "f.gif"])
def test_every_container_gives_every_frame_in_order(folder, name):
    assert shown(folder / name) == list(range(COUNT))
    assert shown(folder / name, stride=7) == [0, 7, 14, 21]
    assert shown(folder / name, fps=RATE / 5) == [0, 5, 10, 15, 20, 25]
    assert shown(folder / name, fps=10 * RATE) == list(range(COUNT))


@pytest.mark.parametrize("name", [*KINDS, "f.gif"])
@pytest.mark.parametrize("first, last", [(0, 1), (3, 12), (7, 8), (8, 9), (15, 25)])
def test_intervals_start_and_stop_at_the_frame(folder, name, first, last):
    span = {"start": (first - 0.5) / RATE, "stop": (last + 0.5) / RATE}
    if first == 0:
        span["start"] = 0.0
    assert shown(folder / name, **span) == list(range(first, last + 1))
    assert shown(folder / name, fps=RATE / 2, **span) == list(range(first, last + 1, 2))


def test_frames_that_are_not_wanted_do_not_change_those_that_are(tmp_path):
    """References are decoded although nobody sees them: the pixels are the same to the bit."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 255, (12, 24, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    moving = np.stack([np.roll(scene, 5 * t, axis=1)[:64, :96] for t in range(60)])
    write_video(tmp_path / "a.mp4", moving, "libx264", rate=30, **H264)
    every = dict(timed_frames(tmp_path / "a.mp4", size=32))
    times = sorted(every)
    assert len(times) == 60
    for fps in (3.0, 7.0, 10.0, 29.0):
        for start in (0.0, 0.51, 1.3):
            kept = list(timed_frames(tmp_path / "a.mp4", size=32, fps=fps, start=start))
            ticks = start + np.arange(len(kept)) / fps
            assert [t for t, _ in kept] == [min(t for t in times if t >= k - 1e-6) for k in ticks]
            assert ticks[-1] + 1 / fps > times[-1]
            for t, frame in kept:
                np.testing.assert_array_equal(frame, every[t])


def test_variable_frame_rate_follows_the_time_stamps(tmp_path):
    """Two seconds at 5 frames a second, one still second, then 20 a second."""
    stamps = [*range(0, 2000, 200), *range(3000, 3800, 50)]
    write_video(tmp_path / "a.mp4", grey_frames(26), stamps=stamps)
    assert shown(tmp_path / "a.mp4") == list(range(26))
    # Ticks 0, 0.5, ... s; from 1.8 s to 3 s nothing new is shown, so 2.0 and 2.5 have no frame.
    wanted = [min(i for i, t in enumerate(stamps) if t >= tick) for tick in (0, 500, 1000, 1500)]
    wanted += [stamps.index(3000), stamps.index(3500)]
    assert shown(tmp_path / "a.mp4", fps=2.0) == wanted
    assert shown(tmp_path / "a.mp4", start=2.9, stop=3.11) == [10, 11, 12]


ORIENTATIONS = {  # a b c d of the display matrix -> what players show
    "as it is": ((1, 0, 0, 1), lambda f: f),
    "clockwise": ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),
    "half turn": ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
    "counter-clockwise": ((0, -1, 1, 0), lambda f: np.rot90(f, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda f: f[:, ::-1]),
    "upside down mirror": ((1, 0, 0, -1), lambda f: f[::-1]),
    "transposed": ((0, 1, 1, 0), lambda f: f.swapaxes(0, 1)),
}


def quarters(height=48, width=64):
    """uint8 (height, width, 3): dark left top, bright right top, grey below; no symmetry."""
    frame = np.full((height, width, 3), 120, np.uint8)
    frame[: height // 2, : width // 2] = 20
    frame[: height // 2, width // 2 :] = 230
    return frame


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_frames_are_upright(tmp_path, orientation):
    (a, b, c, d), turned = ORIENTATIONS[orientation]
    write_video(tmp_path / "a.mp4", np.repeat(quarters()[None], 3, 0), "mpeg4")
    data = (tmp_path / "a.mp4").read_bytes()
    unit = 1 << 16
    plain = struct.pack(">9i", unit, 0, 0, 0, unit, 0, 0, 0, 1 << 30)
    place = data.index(plain, data.index(b"tkhd"))
    matrix = struct.pack(">9i", a * unit, b * unit, 0, c * unit, d * unit, 0, 0, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data[:place] + matrix + data[place + len(plain) :])
    first = next(frames(tmp_path / "b.mp4", size=32)).astype(int)
    expected = turned(square_frame(Image.fromarray(quarters()), 32, "crop")).astype(int)
    assert np.abs(first - expected).mean() < 6
    assert first.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("size", [48, 200])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize(
    "pixels, matrix, full_range",
    [
        ("yuv420p", "smpte170m", 1),
        ("yuv420p", "bt709", 1),
        ("yuvj420p", "smpte170m", 2),
        ("yuv444p", "bt709", 1),
    ],
)
def test_colours_and_crop_agree_with_the_full_size_picture(
    tmp_path, size, fit, pixels, matrix, full_range
):
    """The same as converting the whole picture to RGB first: right matrix, range and centre."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(20, 235, (4, 6, 3)).astype(np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((180, 120), Image.Resampling.BICUBIC))
    matrix_number = {"smpte170m": 6, "bt709": 1}[matrix]
    target = {"smpte170m": 5, "bt709": 1}[matrix]  # swscale's own numbers
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 120, 180, pixels
        stream.codec_context.colorspace = matrix_number
        stream.codec_context.color_range = full_range
        for _ in range(2):
            picture = av.VideoFrame.from_ndarray(scene, format="rgb24").reformat(
                format=pixels, dst_colorspace=target, dst_color_range=full_range
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    first = next(frames(tmp_path / "a.mp4", size=size, fit=fit)).astype(int)
    expected = square_frame(Image.fromarray(scene), size, fit).astype(int)
    assert np.abs(first - expected).mean() < 3
    assert np.abs((first - expected).mean(axis=(0, 1))).max() < 2


def reason(path, **options):
    with pytest.raises(ItemError) as error:
        list(frames(path, size=16, **options))
    assert str(path) in str(error.value)
    return error.value.reason


def test_files_that_are_no_videos(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    write_sound(tmp_path / "sound.mp4")
    assert reason(tmp_path / "text.mp4") == "unreadable"
    assert reason(tmp_path / "empty.mp4") == "empty file"
    assert reason(tmp_path / "none.mp4") == "missing"
    assert reason(tmp_path / "sound.mp4") == "no video stream"


def test_playlists_that_name_other_files_are_not_opened(folder, tmp_path):
    secret = folder / "a.mp4"
    (tmp_path / "hls.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "other.mp4").write_bytes(secret.read_bytes())
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    assert reason(tmp_path / "hls.mp4") == "unreadable"
    assert reason(tmp_path / "concat.mp4") == "unreadable"


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Bytes of an H.264 file of 4 s with its index in front, large enough to damage."""
    root = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(2)
    moving = rng.integers(0, 255, (40, 48, 64, 3), np.uint8)
    write_video(root / "a.mp4", moving, container_options={"movflags": "faststart"})
    return (root / "a.mp4").read_bytes()


@pytest.mark.parametrize("fps", [0.0, 5.0])
def test_a_file_cut_in_the_middle_is_truncated(noisy, tmp_path, fps):
    (tmp_path / "a.mp4").write_bytes(noisy[: len(noisy) * 6 // 10])
    assert reason(tmp_path / "a.mp4", fps=fps) == "truncated video"
    # What lies before the cut can be had.
    assert len(list(frames(tmp_path / "a.mp4", size=16, stop=1.0))) == 10


def test_a_stream_that_ends_before_its_time_is_truncated(tmp_path):
    """A webm whose blocks stop on a block's border decodes without any error."""
    write_video(tmp_path / "a.webm", grey_frames(26), "libvpx", codec_options={"g": "5"})
    data = (tmp_path / "a.webm").read_bytes()
    assert len(shown(tmp_path / "a.webm")) == 26
    with av.open(str(tmp_path / "a.webm")) as container:
        ends = [packet.pos for packet in container.demux(video=0) if packet.size]
    (tmp_path / "b.webm").write_bytes(data[: ends[13]])
    assert reason(tmp_path / "b.webm") == "truncated video"


@pytest.mark.parametrize("fps", [0.0, 5.0])
@pytest.mark.parametrize("damage", [np.random.default_rng(3).bytes(3000), bytes(9000)])
def test_damaged_pictures_are_corrupt(noisy, tmp_path, damage, fps):
    data = bytearray(noisy)
    middle = len(data) // 2
    data[middle : middle + len(damage)] = damage
    (tmp_path / "a.mp4").write_bytes(data)
    assert reason(tmp_path / "a.mp4", fps=fps) == "corrupt video"


def test_pictures_that_the_decoder_mends_are_corrupt(tmp_path):
    """Most small damage raises nothing: the decoder paints over it and marks the picture."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 255, (12, 24, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    moving = np.stack([np.roll(scene, 5 * t, axis=1)[:64, :96] for t in range(60)])
    write_video(tmp_path / "a.mp4", moving, container_options={"movflags": "faststart"})
    data = (tmp_path / "a.mp4").read_bytes()
    messages = []
    for place in np.linspace(0.3, 0.95, 20):
        damaged, start = bytearray(data), int(len(data) * place)
        damaged[start : start + 40] = rng.bytes(40)
        (tmp_path / "b.mp4").write_bytes(damaged)
        try:
            list(frames(tmp_path / "b.mp4", size=16))
        except ItemError as error:
            messages.append(str(error))
    assert any("damaged at" in message for message in messages), messages


def test_intervals_without_frames_are_too_short(folder):
    assert reason(folder / "a.mp4", start=100.0, stop=101.0) == "too short"
    assert reason(folder / "a.mp4", start=1.01, stop=1.02) == "too short"


def test_files_are_closed_even_if_nobody_reads_to_the_end(folder):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        unfinished = frames(folder / "a.mp4", size=16)
        next(unfinished)
        unfinished.close()
        with pytest.raises(ItemError):
            list(frames(folder / "a.mp4", size=16, start=100.0))
    assert len(os.listdir("/proc/self/fd")) == before


def test_video_info(folder):
    info = video_info(folder / "a.mp4")
    assert info.rate == RATE and abs(info.duration - COUNT / RATE) < 0.05
