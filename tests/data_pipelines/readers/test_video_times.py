"""Times of frames: in order of display and evenly picked, whatever a container says or not."""

from fractions import Fraction

import av
import numpy as np
import pytest

from data_pipelines.readers.video.decoding import frames, length_of, timed_frames, video_info
from tests.data_pipelines.readers.video_files import (
    RATE,
    copy_stream,
    grey_frames,
    level,
    number,
    write_video,
)

COUNT = 26
REORDERED = {"g": "12", "bf": "3", "b-pyramid": "normal"}
UNSTAMPED = {  # name -> codec, pixels, codec options
    "h264.avi": ("libx264", "yuv420p", REORDERED),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2", "qmax": "2"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "bare.h264": ("libx264", "yuv420p", REORDERED),
    "bare.mjpeg": ("mjpeg", "yuvj420p", {}),
}


def picked(path, **options):
    """(times in frames, numbers of the pictures, facts)."""
    facts = {}
    pairs = list(timed_frames(path, size=16, facts=facts, **options))
    times = [round(seconds * facts["native_fps"], 2) for seconds, _ in pairs]
    return times, [number(frame) for _, frame in pairs], facts


@pytest.mark.parametrize("name", UNSTAMPED)
def test_containers_without_presentation_times_count_frames(tmp_path, name):
    codec, pixels, options = UNSTAMPED[name]
    write_video(tmp_path / name, grey_frames(COUNT), codec, pixels, codec_options=options)
    times, shown, facts = picked(tmp_path / name)
    assert times == shown == list(range(COUNT))
    assert facts["times"].startswith("frame numbers at ")
    every_second = picked(tmp_path / name, fps=facts["native_fps"] / 2)
    assert every_second[0] == every_second[1] == list(range(0, COUNT, 2))
    rate = facts["native_fps"]
    middle = picked(tmp_path / name, start=9.5 / rate, stop=12.5 / rate)
    assert middle[1] == [10, 11, 12]
    assert not video_info(tmp_path / name).stamped


def test_pictures_that_an_avi_drops_keep_their_time(tmp_path):
    """Recorders of screens write empty chunks where nothing changed."""
    stamps = [*range(0, 1000, 100), *range(1500, 2500, 100)]
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for stamp, frame in zip(stamps, grey_frames(20), strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = stamp // 100, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    times, shown, _ = picked(tmp_path / "a.avi")
    assert times == [stamp / 100 for stamp in stamps] and shown == list(range(20))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_stamps_in_order_of_decoding_are_not_believed(tmp_path, name):
    """What a plain copy from AVI leaves: every picture has the time at which it is decoded."""
    write_video(tmp_path / "b.mp4", grey_frames(COUNT), codec_options=REORDERED)
    tick = av.open(str(tmp_path / "b.mp4")).streams.video[0].duration // COUNT
    copy_stream(tmp_path / "b.mp4", tmp_path / name, lambda n, pts, dts: (n * tick, n * tick))
    times, shown, facts = picked(tmp_path / name)
    assert shown == list(range(shown[0], COUNT)) and len(shown) > COUNT - 3
    assert set(np.round(np.diff(times), 2)) == {1.0}
    assert "frame numbers at 10/s" in facts["times"]
    for fps in (2.0, 5.0):
        shown = picked(tmp_path / name, fps=fps)[1]
        assert set(np.diff(shown)) == {RATE / fps}, fps


def test_a_stamp_that_is_repeated_or_runs_back_loses_no_frame(tmp_path):
    """A file of variable rate: only the bad stamps are replaced."""
    stamps = [*range(0, 1000, 100), *range(1000, 4000, 250)]
    write_video(tmp_path / "b.mkv", grey_frames(len(stamps)), "libvpx", stamps=stamps)

    def spoiled(n, pts, dts):
        return (pts - 30 if n == 5 else stamps[7] if n == 8 else pts), None

    copy_stream(tmp_path / "b.mkv", tmp_path / "a.mkv", lambda n, p, d: (spoiled(n, p, d)[0],) * 2)
    pairs = list(timed_frames(tmp_path / "a.mkv", size=16))
    assert [number(frame) for _, frame in pairs] == list(range(len(stamps)))
    times = np.array([seconds for seconds, _ in pairs])
    assert (np.diff(times) > 0).all()
    good = [k for k in range(len(stamps)) if k not in (5, 8)]
    np.testing.assert_allclose(times[good], np.array(stamps)[good] / 1000, atol=0.0011)


@pytest.mark.parametrize("name, codec", [("a.ts", "libx264"), ("a.mpg", "mpeg2video")])
def test_clocks_of_broadcasts_that_start_anew(tmp_path, name, codec):
    """Two recordings one after the other, as `cat a.ts b.ts` makes them."""
    rate = 25
    for part in range(2):
        steps = level(np.arange(13 * part, 13 * part + 13)).astype(np.uint8)
        moving = np.broadcast_to(steps[:, None, None, None], (13, 48, 64, 3))
        options = {"bf": "2", "g": "13"} | ({"qmax": "2"} if codec == "mpeg2video" else {})
        write_video(tmp_path / f"{part}{name}", moving, codec, rate=rate, codec_options=options)
    both = b"".join((tmp_path / f"{part}{name}").read_bytes() for part in range(2))
    (tmp_path / name).write_bytes(both)
    times, shown, _ = picked(tmp_path / name)
    assert shown == list(range(COUNT)) and times == list(range(COUNT))
    assert picked(tmp_path / name, fps=5.0)[1] == list(range(0, COUNT, 5))
    assert length_of(tmp_path / name)[1] == pytest.approx(COUNT / rate)


def test_a_break_of_hours_is_bridged(tmp_path):
    write_video(tmp_path / "b.ts", grey_frames(COUNT), codec_options={"bf": "0"})
    jump = 90_000 * 7200
    stamp = lambda n, pts, dts: (pts + jump * (n > 9), dts + jump * (n > 9))  # noqa: E731
    copy_stream(tmp_path / "b.ts", tmp_path / "a.ts", stamp)
    times, shown, facts = picked(tmp_path / "a.ts")
    assert times == shown == list(range(COUNT))
    assert "did not advance" in facts["times"]


def test_broadcasts_that_begin_in_the_middle_start_with_their_first_picture(tmp_path):
    write_video(tmp_path / "b.ts", grey_frames(COUNT), codec_options={"bf": "2", "g": "10"})
    data = (tmp_path / "b.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(data[188 * (len(data) // 188 // 5) :])
    times, shown, _ = picked(tmp_path / "a.ts", fps=5.0)
    assert times[0] == 0 and set(np.diff(times)) == {2.0} and set(np.diff(shown)) == {2}


def test_stamped_files_say_nothing_of_their_times(tmp_path):
    write_video(tmp_path / "a.mp4", grey_frames(COUNT), codec_options=REORDERED)
    assert picked(tmp_path / "a.mp4")[2] == {"native_fps": RATE}


def test_steady_and_variable_rates_are_told_apart(tmp_path):
    write_video(tmp_path / "a.mp4", grey_frames(COUNT))
    stamps = [*range(0, 2000, 200), *range(2000, 2800, 50)]
    write_video(tmp_path / "b.mp4", grey_frames(COUNT), stamps=stamps)
    assert video_info(tmp_path / "a.mp4").steady and video_info(tmp_path / "a.mp4").rate == RATE
    assert not video_info(tmp_path / "b.mp4").steady
    write_video(tmp_path / "c.mpg", grey_frames(COUNT), "mpeg1video", rate=25)
    assert video_info(tmp_path / "c.mpg").steady and video_info(tmp_path / "c.mpg").rate == 25


def test_length_of_the_pictures_not_of_the_sound(tmp_path):
    write_video(tmp_path / "a.mkv", grey_frames(COUNT), sound=6)
    assert video_info(tmp_path / "a.mkv").duration > 5.9
    assert length_of(tmp_path / "a.mkv")[1] == pytest.approx(COUNT / RATE, abs=0.01)
    assert len(list(frames(tmp_path / "a.mkv", size=16))) == COUNT


@pytest.mark.parametrize("name", ["a.mkv", "b.webm", "c.flv"])
@pytest.mark.parametrize("rate, fps", [(30, 30), (30, 15), (24, 12)])
def test_clocks_that_round_lose_no_frame(tmp_path, name, rate, fps):
    """At 30/s Matroska and FLV stamp the second picture 33 ms, just before its tick."""
    codec = {"a.mkv": "libx264", "b.webm": "libvpx", "c.flv": "flv"}[name]
    write_video(tmp_path / name, grey_frames(COUNT), codec, rate=rate)
    shown = [number(frame) for _, frame in timed_frames(tmp_path / name, size=16, fps=fps)]
    assert shown == list(range(0, COUNT, rate // fps))


@pytest.mark.parametrize("name, codec", [("a.mkv", "libx264"), ("b.wmv", "wmv2")])
def test_durations_that_count_from_zero_are_no_promise_of_more(tmp_path, name, codec):
    stamps = [2000 + 100 * t for t in range(COUNT)]
    options = {"avoid_negative_ts": "disabled"}
    write_video(
        tmp_path / name, grey_frames(COUNT), codec, stamps=stamps, container_options=options
    )
    assert len(list(frames(tmp_path / name, size=16))) == COUNT
    assert length_of(tmp_path / name)[1] == pytest.approx(COUNT / RATE, abs=0.11)
