"""Size and speed of the frame codecs, per frame, on one core.

    python -m data_pipelines.benchmark_codecs [--frames=300] [--videos=FOLDER]

Frames are ViZDoom's three scenarios under sticky play, at 64 px (from 160x120) and at 224 px (from
640x480). Renders are free of noise, which flatters the lossless codecs, so every codec is measured
again with camera-like noise (standard deviation 4 of 255) added. With --videos the frames come from
real files and no noise is added. Prints JSON rows.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from data_pipelines.codecs import CODECS

NOISE = 4.0


def doom_frames(size: int, count: int) -> np.ndarray:
    """Every fifth frame of sticky play, scenarios in turn: uint8 (count, size, size, 3)."""
    # The simulator is an optional dependency.
    from data_pipelines.doom.behaviours import Sticky
    from data_pipelines.doom.game import DoomPlayer
    from data_pipelines.doom.scenarios import SCENARIOS

    resolution = "RES_160X120" if size <= 64 else "RES_640X480"
    frames, share = [], -(-count // len(SCENARIOS))
    for scenario in SCENARIOS:
        with DoomPlayer(scenario, size=size, resolution=resolution) as player:
            for i in range(share):
                if i % 20 == 0 or player.finished():
                    player.reset(seed=i)
                    policy = Sticky(player, np.random.default_rng(i))
                frames.append(player.frame())
                for _ in range(5):
                    if not player.finished():
                        player.step(policy.act())
    return np.stack(frames[:count])


def with_noise(frames: np.ndarray) -> np.ndarray:
    """The frames as a camera might have seen them."""
    noise = np.random.default_rng(0).normal(0, NOISE, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


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
        "mean_error": round(float(error.mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--videos", default="", help="measure on these video files instead")
    args = parser.parse_args()
    for size in (64, 224):
        if args.videos:
            sources = {"videos": video_frames(args.videos, size, args.frames)}
        else:
            frames = doom_frames(size, args.frames)
            sources = {"doom": frames, "doom + noise": with_noise(frames)}
        for source, frames in sources.items():
            for codec in CODECS:
                print(json.dumps(measure(codec, frames, source)), flush=True)


if __name__ == "__main__":
    main()
