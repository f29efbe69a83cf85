"""Size and speed of the frame codecs, per frame, on one core.

    python -m data_pipelines.benchmark_codecs [--frames=200] [--videos=FOLDER]

Frames are ViZDoom's my_way_home at 64 px (area-resized from 160x120) and at 224 px (from 640x480),
so they are noise-free renders; with --videos they come from real video files instead. Prints JSON
rows.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from data_pipelines.codecs import CODECS


def doom_frames(size: int, count: int) -> np.ndarray:
    """Random play on my_way_home: uint8 (count, size, size, 3)."""
    from data_pipelines.doom.game import DoomPlayer  # the simulator is an optional dependency

    resolution = "RES_160X120" if size <= 64 else "RES_640X480"
    with DoomPlayer("my_way_home", size=size, resolution=resolution) as player:
        rng = np.random.default_rng(0)
        player.reset(seed=0)
        frames = []
        while len(frames) < count:
            frames.append(player.frame())
            player.step(int(rng.integers(5)))
            if player.finished():
                player.reset(seed=len(frames))
    return np.stack(frames)


def video_frames(folder: str, size: int, count: int) -> np.ndarray:
    """The first `count` frames of the videos in `folder`: uint8 (count, size, size, 3)."""
    from data_pipelines.videos import find_items, read_item

    frames: list[np.ndarray] = []
    for item in find_items(folder):
        for frame in read_item(item, size=size, fps=0.0, stride=1):
            frames.append(frame)
            if len(frames) == count:
                return np.stack(frames)
    return np.stack(frames)


def measure(codec: str, frames: np.ndarray) -> dict:
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
        "codec": codec,
        "size": frames.shape[1],
        "bytes_per_frame": round(float(np.mean([len(data) for data in encoded]))),
        "encode_us": round(1e6 * encode_time / len(frames), 1),
        "decode_us": round(1e6 * decode_time / len(frames), 1),
        "mean_error": round(float(error.mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--videos", default="", help="measure on these video files instead")
    args = parser.parse_args()
    for size in (64, 224):
        frames = (
            video_frames(args.videos, size, args.frames)
            if args.videos
            else doom_frames(size, args.frames)
        )
        for codec in CODECS:
            print(json.dumps(measure(codec, frames)), flush=True)


if __name__ == "__main__":
    main()
