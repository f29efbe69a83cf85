"""Size and speed of the frame codecs, per frame, on one core.

    python -m data_pipelines.benchmark_codecs [--frames=300] [--videos=FOLDER] [--fps=0]

Frames are ViZDoom's three scenarios under sticky play, at 64 px (from 160x120) and at 224 px (from
640x480). Renders are free of noise, which flatters the lossless codecs, so every codec is measured
again with camera-like noise (standard deviation 4 of 255) added. With --videos the frames come from
video files and no noise is added; then there is also a row for the alternative to frame codecs:
clips of 16 frames, each a little H.264 stream of its own. Prints JSON rows; `pair_us` is the time
to decode two random frames of a clip.
"""

from __future__ import annotations

import argparse
import json
import time
from fractions import Fraction

import numpy as np

from data_pipelines.format.codecs import CODECS

NOISE = 4.0
CLIP = 16  # frames of a record
CLIP_OPTIONS = {"crf": "10", "g": f"{CLIP}", "bf": "0"}  # as close as JPEG at quality 95


def doom_frames(size: int, count: int) -> np.ndarray:
    """Every fifth frame of sticky play, scenarios in turn: uint8 (count, size, size, 3)."""
    # The simulator is an optional dependency.
    from data_pipelines.simulators.behaviours import Sticky
    from data_pipelines.simulators.doom.game import Doom

    resolution = "RES_160X120" if size <= 64 else "RES_640X480"
    frames, tasks = [], Doom.tasks()
    share = -(-count // len(tasks))
    with Doom(size=size, resolution=resolution) as simulator:
        for task in tasks:
            done = True
            for i in range(share):
                if i % 20 == 0 or done:
                    simulator.reset(i, task)
                    agent = Sticky(simulator, np.random.default_rng(i))
                views, done = simulator.frames(), False
                frames.append(views["player"])
                for _ in range(5):
                    done = done or simulator.step(agent(views)).done
    return np.stack(frames[:count])


def with_noise(frames: np.ndarray) -> np.ndarray:
    """The frames as a camera might have seen them."""
    noise = np.random.default_rng(0).normal(0, NOISE, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def video_frames(folder: str, size: int, count: int, fps: float) -> np.ndarray:
    """The first `count` frames of the videos in `folder`: uint8 (count, size, size, 3)."""
    from data_pipelines.readers.video.recipe import read_item
    from data_pipelines.readers.video.sources import find

    frames: list[np.ndarray] = []
    found = find(folder)
    for item in [*found.videos, *found.sequences]:
        for frame in read_item(item, size=size, fps=fps, stride=1):
            frames.append(frame)
            if len(frames) == count:
                return np.stack(frames)
    return np.stack(frames)


def measure(codec: str, frames: np.ndarray, source: str) -> dict:
    """One row: mean bytes, encode and decode microseconds per frame, largest pixel error."""
    implementation = CODECS[codec]
    start = time.perf_counter()
    encoded = [implementation.encode(frame) for frame in frames]
    encode_time = time.perf_counter() - start
    repeats = 5
    start = time.perf_counter()
    for _ in range(repeats):
        decoded = [implementation.decode(data, frames[0].shape) for data in encoded]
    decode_time = (time.perf_counter() - start) / repeats
    error = np.abs(np.stack(decoded).astype(np.int16) - frames)
    return {
        "source": source,
        "codec": codec,
        "size": frames.shape[1],
        "bytes_per_frame": round(float(np.mean([len(data) for data in encoded]))),
        "encode_us": round(1e6 * encode_time / len(frames), 1),
        "decode_us": round(1e6 * decode_time / len(frames), 1),
        "pair_us": round(2e6 * decode_time / len(frames), 1),
        "mean_error": round(float(error.mean()), 3),
    }


def encode_clip(frames: np.ndarray) -> list[bytes]:
    """One H.264 packet per frame, in order; only the first decodes alone."""
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv444p", Fraction(1, 30), 30
    encoder.thread_count, encoder.options = 1, CLIP_OPTIONS
    packets = []
    for frame in [*frames, None]:
        picture = None if frame is None else av.VideoFrame.from_ndarray(frame, format="rgb24")
        packets += [bytes(packet) for packet in encoder.encode(picture)]
    return packets


def decode_clip(packets: list[bytes], wanted: set[int]) -> list[np.ndarray]:
    """The wanted frames, uint8 (H, W, 3); decodes from the start to the last of them."""
    import av

    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    pictures = []
    for data in packets[: max(wanted) + 1]:
        pictures += decoder.decode(av.Packet(data))
    pictures += decoder.decode(None)
    return [pictures[t].to_ndarray(format="rgb24") for t in sorted(wanted)]


def measure_clips(frames: np.ndarray, source: str) -> dict:
    """The row of short-GOP H.264: every CLIP frames are a stream."""
    clips = [frames[i : i + CLIP] for i in range(0, len(frames) - CLIP + 1, CLIP)]
    start = time.perf_counter()
    encoded = [encode_clip(clip) for clip in clips]
    encode_time = time.perf_counter() - start
    rng = np.random.default_rng(0)
    pairs = [set(rng.choice(CLIP, 2, replace=False).tolist()) for _ in range(5 * len(clips))]
    start = time.perf_counter()
    for i, pair in enumerate(pairs):
        decode_clip(encoded[i % len(clips)], pair)
    pair_time = (time.perf_counter() - start) / len(pairs)
    start = time.perf_counter()
    decoded = [decode_clip(packets, set(range(CLIP))) for packets in encoded]
    decode_time = (time.perf_counter() - start) / (CLIP * len(clips))
    error = np.abs(np.stack(decoded).astype(np.int16) - np.stack(clips))
    size = sum(len(data) for packets in encoded for data in packets)
    return {
        "source": source,
        "codec": f"h264 clips of {CLIP}",
        "size": frames.shape[1],
        "bytes_per_frame": round(size / (CLIP * len(clips))),
        "encode_us": round(1e6 * encode_time / (CLIP * len(clips)), 1),
        "decode_us": round(1e6 * decode_time, 1),
        "pair_us": round(1e6 * pair_time, 1),
        "mean_error": round(float(error.mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--videos", default="", help="measure on these video files instead")
    parser.add_argument("--fps", type=float, default=0.0, help="of the videos' frames; 0 = all")
    args = parser.parse_args()
    for size in (64, 224):
        if args.videos:
            sources = {"videos": video_frames(args.videos, size, args.frames, args.fps)}
        else:
            frames = doom_frames(size, args.frames)
            sources = {"doom": frames, "doom + noise": with_noise(frames)}
        for source, frames in sources.items():
            for codec in CODECS:
                print(json.dumps(measure(codec, frames, source)), flush=True)
            if args.videos:  # frames of renders are five steps apart; that is no video
                print(json.dumps(measure_clips(frames, source)), flush=True)


if __name__ == "__main__":
    main()
