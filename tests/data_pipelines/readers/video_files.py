"""Small videos for tests. The picture of frame t is grey with value level(t)."""

from fractions import Fraction

import av
import numpy as np

RATE = 10
MILLISECOND = Fraction(1, 1000)


def level(t):
    """Grey of frame t; codecs and colour conversions move it by 3 at most."""
    return 24 + 8 * (np.asarray(t) % 26)


def number(frame):
    """Which t of 0..25 a grey frame shows."""
    return int(round((float(frame.mean()) - 24) / 8))


def grey_frames(count, height=48, width=64):
    """uint8 (count, height, width, 3)."""
    levels = level(np.arange(count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3))


def write_video(path, frames, codec="libx264", pixels="yuv420p", *, rate=RATE, **options):
    """`stamps`: times of the frames in 1/1000 s instead of a steady rate. `pixel_aspect`: width
    over height of a pixel. `sound`: seconds of silence in a second track."""
    stamps = options.pop("stamps", None)
    container_options = options.pop("container_options", {})
    named = {"format": options["format"]} if "format" in options else {}
    with av.open(str(path), "w", options=container_options, **named) as container:
        container.metadata.update(options.get("metadata", {}))
        stream = container.add_stream(codec, rate=rate, options=options.pop("codec_options", {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.sample_aspect_ratio = options.get("pixel_aspect", Fraction(1))
        sound = _add_sound(container) if options.get("sound") else None
        if stamps is not None:
            stream.codec_context.time_base = MILLISECOND
        for t, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if stamps is not None:
                picture.pts, picture.time_base = stamps[t], MILLISECOND
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            _write_silence(container, sound, options["sound"])


def _add_sound(container):
    stream = container.add_stream("libopus", rate=48000)
    stream.layout = "mono"
    return stream


def _write_silence(container, stream, seconds):
    for start in range(0, int(48000 * seconds), 960):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def copy_stream(source, path, stamp, *, format=None):
    """Packets of a video as they are, but for (pts, dts) = stamp(number, pts, dts)."""
    named = {} if format is None else {"format": format}
    with av.open(str(source)) as old, av.open(str(path), "w", **named) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.size:
                packet.pts, packet.dts = stamp(number, packet.pts, packet.dts)
                packet.stream = stream
                new.mux(packet)


def write_sound(path):
    """A file with an audio stream only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
