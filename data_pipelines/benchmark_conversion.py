"""Conversion of H.264 video to 224-px frames against the decoder's own rate, on one core.

    python -m data_pipelines.benchmark_conversion [--seconds=20] [--fps=2,5,10,30] [--repeats=3]

Makes a 960x540 file of 30 frames a second (a camera panning over a natural-looking texture, one
object moving; x264 at crf 23, its default group of pictures and groups of 12). Measures in turn, in
fresh processes pinned to one core: PyAV decoding every frame and doing nothing with it, with the
reader's own thread setting; PyAV decoding every frame to an RGB array, as plain readers do; and the
conversion (decode, crop, shrink, JPEG, hash, blank check, spool) at several rates. Prints JSON
rows; `ratio` is source frames per second of conversion over those of the decoder, `ratio_rgb` over
those of decoding to RGB. The last rows repeat a video ten times as long, for its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from data_pipelines.conversion.spool import write_episode
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.video.decoding import frames

WIDTH, HEIGHT, RATE, SIZE = 960, 540, 30, 224
BASELINES = ("decode", "decode to RGB")
MAIN = [sys.executable, "-m", "data_pipelines.benchmark_conversion"]


def texture(height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3): noise with the falling spectrum of natural pictures."""
    rng = np.random.default_rng(0)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    distance = np.hypot(down, across)
    distance[0, 0] = 1
    layers = [
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / distance**1.2)
        for _ in range(3)
    ]
    picture = np.stack([layers[0] + 0.3 * layer for layer in layers], axis=-1)
    picture = 120 + 45 * (picture - picture.mean()) / picture.std()
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_video(path: pathlib.Path, seconds: float, group: int | None) -> None:
    """The panning video; group: pictures from key frame to key frame, None for x264's default."""
    import av

    scene = texture(2 * HEIGHT, 2 * WIDTH)
    options = {"crf": "23"} | ({"g": str(group)} if group else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(int(seconds * RATE)):
            left = int(200 + 150 * np.sin(t / 40) + 2 * t) % WIDTH
            top = int(270 + 200 * np.sin(t / 55))
            view = scene[top : top + HEIGHT, left : left + WIDTH].copy()
            x, y = int(400 + 300 * np.sin(t / 13)), int(200 + 100 * np.cos(t / 9))
            view[y : y + 120, x : x + 120] = scene[119::-1, t % 500 : t % 500 + 120]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())


def repeat_video(source: pathlib.Path, path: pathlib.Path, times: int) -> None:
    """The video `times` times in a row, copied without decoding."""
    import av

    with av.open(str(path), "w") as output:
        with av.open(str(source)) as container:
            stream = output.add_stream_from_template(container.streams.video[0])
            length = container.streams.video[0].duration
        for turn in range(times):
            with av.open(str(source)) as container:
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts += turn * length
                        packet.dts += turn * length
                        packet.stream = stream
                        output.mux(packet)


def decode_only(path: str, rgb: bool) -> int:
    """Decodes every frame as PyAV does it, with one thread; returns their number."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        count = 0
        for frame in container.decode(stream):
            if rgb:
                frame.to_ndarray(format="rgb24")
            count += 1
        return count


def convert(path: str, fps: float) -> int:
    """Spools the video as `prepare` does; returns the number of frames kept."""
    spec = DatasetSpec(name="videos", image_shape=(SIZE, SIZE, 3), codec="jpeg")
    with tempfile.TemporaryDirectory() as folder:
        return write_episode(pathlib.Path(folder), spec, 0, frames(path, size=SIZE, fps=fps))


def peak_mb() -> int:
    """Peak resident memory of this process alone; getrusage would count its parent's too."""
    status = pathlib.Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)


def run_one(job: str, path: str) -> dict:
    """Seconds, frames and peak memory of one job in this process; imports are not counted."""
    import av  # noqa: F401

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start, cpu = time.perf_counter(), time.process_time()
    if job in BASELINES:
        count = decode_only(path, rgb=job == "decode to RGB")
    else:
        count = convert(path, float(job))
    return {
        "frames": count,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_mb(),
    }


def measure(path: pathlib.Path, jobs: list[str], repeats: int) -> dict[str, list[dict]]:
    """Rows of every job, taken in turn so that other load meets all of them alike."""
    rows: dict[str, list[dict]] = {job: [] for job in jobs}
    for _ in range(repeats):
        for job in jobs:
            command = [*MAIN, f"--job={job}", f"--video={path}"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows[job].append(json.loads(output))
    return rows


def report(name: str, rows: dict[str, list[dict]]) -> None:
    """Prints one row per job: medians over the repeats, ratios within each repeat."""
    total = rows["decode"][0]["frames"]
    for job, taken in rows.items():
        row = {
            "video": name,
            "job": job if job in BASELINES else f"convert, {job} frames/s",
            "source_frames_per_s": round(total / statistics.median(r["seconds"] for r in taken)),
            "ratio": _ratio(rows["decode"], taken),
            "ratio_rgb": _ratio(rows["decode to RGB"], taken),
            "frames": taken[0]["frames"],
            "peak_mb": max(r["peak_mb"] for r in taken),
            "load_average": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(row), flush=True)


def _ratio(baseline: list[dict], taken: list[dict]) -> float:
    pairs = zip(baseline, taken, strict=True)
    return round(statistics.median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the video")
    parser.add_argument("--fps", default="2,5,10,30", help="rates to convert at; 30 keeps all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--times", type=int, default=10, help="length of the long video; 0 = none")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--video", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(run_one(args.job, args.video)))
        return
    jobs = [*BASELINES, *args.fps.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        for name, group in (("default GOP", None), ("GOP 12", 12)):
            path = pathlib.Path(scratch) / f"{name}.mp4"
            write_video(path, args.seconds, group)
            kbits = 8 * path.stat().st_size / args.seconds / 1000
            report(f"{name}, {kbits:.0f} kbit/s", measure(path, jobs, args.repeats))
        if args.times:
            long = pathlib.Path(scratch) / "long.mp4"
            repeat_video(path, long, args.times)
            report(f"{name}, {args.times} times as long", measure(long, jobs, 1))


if __name__ == "__main__":
    main()
