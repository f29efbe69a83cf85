"""Transitions per second and memory of the training loader, one JSON row per measurement.

    python -m data_pipelines.benchmark_loader --data=DIR [--batch-size=64] [--threads=2]
    [--workers=0] [--seconds=10]
        [--scale=10]

The second row reads a set `scale` times as large (every shard linked that many times under new
names, with its own readers and index): memory should stay where it was. Each row is measured in a
fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from data_pipelines.builder import dataset_folder, index_file
from data_pipelines.loader import training_batches
from data_pipelines.manifest import FILE_NAME, open_dataset


def enlarge(path: pathlib.Path, out: pathlib.Path, factor: int) -> None:
    """A dataset folder `factor` times as large as `path`, made of links to its shards."""
    info = open_dataset(path)
    manifest = json.loads(json.dumps(info.manifest))
    for name, entry in manifest["datasets"].items():
        dataset_folder(out, name).mkdir(parents=True)
        for split, shards in entry["shards"].items():
            copies = []
            for copy in range(factor):
                for shard in shards:
                    file = f"{copy:03d}-{shard['file']}"
                    source = dataset_folder(info.path.absolute(), name) / shard["file"]
                    (dataset_folder(out, name) / file).symlink_to(source)
                    copies.append(shard | {"file": file})
            entry["shards"][split] = copies
            index = np.load(index_file(path, name, split))
            tiled = np.tile(index, (factor, 1))
            # Episodes of a copy get numbers of their own.
            tiled[:, 0] += np.repeat(np.arange(factor), len(index)) * (index[:, 0].max() + 1)
            np.save(index_file(out, name, split), tiled)
            entry["splits"][split] = {k: factor * v for k, v in entry["splits"][split].items()}
    (out / FILE_NAME).write_text(json.dumps(manifest))


def resident_mb() -> float:
    """Memory of this process and its children (Grain's workers), in MB."""
    me, total = os.getpid(), 0
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:  # it ended meanwhile
            continue
        values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if int(values["Pid"]) == me or int(values["PPid"]) == me:
            total += int(values.get("VmRSS", "0 kB").split()[0])
    return total / 1024


def measure(args: argparse.Namespace) -> dict:
    """Reads for args.seconds after a warm-up; memory is compared at both ends of that time."""
    info = open_dataset(args.data)
    config = {"path": args.data, "threads": args.threads, "workers": args.workers}
    batches = training_batches(config, seed=0, batch_size=args.batch_size)
    for _ in range(args.warmup):
        next(batches)
    first_memory, count = resident_mb(), 0
    cpu, start = time.process_time(), time.perf_counter()
    while time.perf_counter() - start < args.seconds:
        next(batches)
        count += args.batch_size
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resident_mb()
    batches.close()
    return {
        "train_transitions": info.splits["train"]["transitions"],
        "image_shape": info.image_shape,
        "codec": sorted({spec.codec for spec in info.datasets.values()}),
        "batch_size": args.batch_size,
        "threads": args.threads,
        "workers": args.workers,
        "transitions_per_s": round(count / seconds),
        "cpu_us_per_transition": round(1e6 * cpu / count, 1),
        "memory_mb": round(memory),
        "memory_growth_mb": round(memory - first_memory, 1),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="dataset folder")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warmup", type=int, default=50, help="batches")
    parser.add_argument("--scale", type=int, default=10, help="size of the second set; 0 = none")
    args = parser.parse_args()
    if not args.scale:
        print(json.dumps(measure(args)), flush=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        large = pathlib.Path(scratch) / "large"
        enlarge(pathlib.Path(args.data), large, args.scale)
        for folder in (args.data, str(large)):
            command = [sys.executable, "-m", "data_pipelines.benchmark_loader", *sys.argv[1:]]
            subprocess.run([*command, f"--data={folder}", "--scale=0"], check=True)


if __name__ == "__main__":
    main()
