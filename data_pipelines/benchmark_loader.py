"""Transitions per second, bytes read per pair and memory of the training loader, one JSON row each.

    python -m data_pipelines.benchmark_loader [--data=DIR] [--pairs-per-clip=1,8] [--scale=50]
        [--batch-size=64] [--threads=2] [--workers=0] [--rounds=5] [--seconds=2]

Without --data it makes and measures two sets of its own: 64-px zstd and 224-px JPEG frames of the
synthetic dataset (coloured blocks, which compress better than video: prefer your own data). With
--scale a second set of that many times as many shards is read (links to the same ones under new
names, with readers and index of its own): memory should stay where it was. Each row is measured in
a fresh process, and its rate is the best of short rounds, since other jobs only ever slow it down.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from data_pipelines.conversion.build import prepare
from data_pipelines.format.layout import dataset_folder, index_file
from data_pipelines.format.manifest import FILE_NAME, DatasetInfo, open_dataset
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.windows import ClipReader
from data_pipelines.registry import recipe_options


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
            # The numbers of episodes stay those that stand in the records.
            index = np.load(index_file(path, name, split))
            np.save(index_file(out, name, split), np.tile(index, (factor, 1)))
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


def measure(args: argparse.Namespace, pairs: int) -> dict:
    """Reads args.rounds times args.seconds after a warm-up; memory is compared over that time."""
    info = open_dataset(args.data)
    config = {
        "path": args.data,
        "threads": args.threads,
        "workers": args.workers,
        "pairs_per_clip": pairs,
    }
    batches = training_batches(config, seed=0, batch_size=args.batch_size)
    for _ in range(args.warmup):
        next(batches)
    first_memory, rates, cpu = resident_mb(), [], []
    for _ in range(args.rounds):
        count, start, busy = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < args.seconds:
            next(batches)
            count += args.batch_size
        rates.append(count / (time.perf_counter() - start))
        cpu.append((time.process_time() - busy) / count)
    memory = resident_mb()
    batches.close()
    return {
        "train_transitions": sum(c["train"]["transitions"] for c in info.counts.values()),
        "shards": sum(len(shards["train"]) for shards in info.shards.values()),
        "image_shape": info.image_shape,
        "codec": sorted({spec.codec for spec in info.datasets.values()}),
        "pairs_per_clip": pairs,
        "batch_size": args.batch_size,
        "threads": args.threads,
        "workers": args.workers,
        "transitions_per_s": round(max(rates)),
        "median_per_s": round(statistics.median(rates)),
        # Of this process: worker processes are not in it.
        "cpu_us_per_transition": None if args.workers else round(1e6 * min(cpu), 1),
        **bytes_per_pair(info, pairs),
        "memory_mb": round(memory),
        "memory_growth_mb": round(memory - first_memory, 1),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def bytes_per_pair(info: DatasetInfo, pairs: int) -> dict:
    """Stored bytes: of a pair's own two frames, and of what is read for it (one record per group).

    The difference for one pair is the constant clip_stride + max_span - 2 frames, however long the
    episode; labels and headers count as frames here.
    """
    sizes, frames, rows = 0, 0, 0
    for name in info.datasets:
        reader = ClipReader(info, name, "train")
        sizes += sum(shard["bytes"] for shard in info.shards[name]["train"])
        frames += int(reader.index[:, 2].sum())
        rows += len(reader)
    spec = next(iter(info.datasets.values()))
    return {
        "bytes_own_frames": round(2 * sizes / frames),
        "bytes_read": round(sizes / rows / min(pairs, spec.clip_stride)),
        "frames_per_record": round(frames / rows, 1),
    }


def make_sets(folder: pathlib.Path) -> list[str]:
    """The two sets that are measured without --data."""
    sets = []
    for size, codec, episodes in ((64, "zstd", 60), (224, "jpeg", 20)):
        sets.append(str(folder / f"{size}px"))
        arguments = (f"--size={size}", f"--codec={codec}", f"--episodes={episodes}")
        prepare("synthetic", sets[-1], recipe_options("synthetic", *arguments))
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="", help="dataset folder; default: makes its own")
    parser.add_argument("--pairs-per-clip", default="1,8", help="values to measure")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--warmup", type=int, default=50, help="batches")
    parser.add_argument("--scale", type=int, default=50, help="size of the second set; 0 = none")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measure(args, int(args.pairs_per_clip))), flush=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for number, data in enumerate([args.data] if args.data else make_sets(folder)):
            sets = [data]
            if args.scale:
                sets.append(str(folder / f"large{number}"))
                enlarge(pathlib.Path(data), pathlib.Path(sets[1]), args.scale)
            for pairs in args.pairs_per_clip.split(","):
                for each in sets:
                    command = [sys.executable, "-m", "data_pipelines.benchmark_loader"]
                    command += [*sys.argv[1:], f"--data={each}", f"--pairs-per-clip={pairs}"]
                    subprocess.run([*command, "--alone"], check=True)


if __name__ == "__main__":
    main()
