"""What experiments/benchmark.py times of a run of any kind: steps, data, checkpoints.

Every function returns plain numbers, medians unless the name says otherwise. Programs that are
compared run in turns, so that a machine that slows down slows all of them down.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax

from experiments.benchmark_run import build_that_fits, steps, timed
from flexlam_jax.parallel import sharding
from flexlam_jax.training.batches import DeviceBatches
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.performance import device_gib, measure_peak_tflops, update_flops


def train(config: Any, repeats: int) -> dict[str, Any]:
    """The loop's own step; MFU is analytic FLOPs over a matmul measured before and after it."""
    run = build_that_fits(config)
    peaks = [measure_peak_tflops(run.mesh, run.task.objective.dtype)]
    seconds = steps(run, repeats)
    peaks.append(measure_peak_tflops(run.mesh, run.task.objective.dtype))
    median, peak = statistics.median(seconds), max(peaks)
    flops = update_flops(run.task.objective, run.state, run.task.batch, run.rows)
    row = {
        "parameters": sum(x.size for x in jax.tree.leaves(run.state.params)),
        "remat": config.get("model", {}).get("remat", ""),
        "accumulate": run.config.optimizer.accumulate,
        "batch_size": run.rows,
        "batch": jax.tree.map(lambda x: list(x.shape), run.task.batch),
        "step_seconds": median,
        "step_seconds_range": [min(seconds), max(seconds)],
        "transitions_per_second": run.transitions / median,
        "gflops_per_transition": flops / run.transitions / 1e9,
        "tflops_per_second": flops / median / 1e12,
        "peak_tflops": peak,
        "mfu": flops / median / 1e12 / peak,
    }
    memory = device_gib()
    return row if memory is None else {**row, "device_gib": memory}


def loader(config: Any, repeats: int) -> dict[str, float]:
    """The loader on its own, and the share of a training step that waits for it."""
    run = build_that_fits(config)
    rows = sharding.process_rows(run.mesh, run.rows)
    alone = run.task.data(rows)
    next(alone)
    seconds = [timed(lambda: next(alone))[0] for _ in range(repeats)]
    alone.close()
    device_batches = DeviceBatches(
        run.task.data(rows),
        sharding.batch_sharding(run.mesh),
        batch_size=run.rows,
        rows=rows,
    )
    with jax.set_mesh(run.mesh), device_batches as data:
        waited, start = 0.0, 0.0
        for turn in range(repeats + 1):
            batch = next(data)
            wait = data.take_wait()
            if turn:
                waited += wait
            _, (run.state, _) = timed(run.program.step, run.state, _read(batch, run.task.batch))
            if not turn:
                start = time.perf_counter()
        total = time.perf_counter() - start
    return {
        "transitions_per_second": run.transitions * repeats / sum(seconds),
        "data_wait_fraction": waited / total,
    }


def _read(batch: Any, shapes: Any) -> Any:
    """What of a batch the step was built for; the loader gives the origin of the rows too."""
    if isinstance(shapes, Mapping):
        return {name: _read(batch[name], shape) for name, shape in shapes.items()}
    return batch


def checkpoint(config: Any, repeats: int) -> dict[str, float]:
    """What a save costs training. `stall_fraction` is at the preset's `checkpoint.every`.

    Training stops for the copy off the device (`save_blocks_seconds`); the rest is written while
    it goes on, and `slowdown_seconds` is what steps lose meanwhile.
    """
    run = build_that_fits(config)
    abstract = run.program.abstract
    step = statistics.median(steps(run, repeats))
    blocks, writes, slow = [], [], []
    with jax.set_mesh(run.mesh), tempfile.TemporaryDirectory() as folder:
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            for _ in range(3):
                start = time.perf_counter()
                checkpoints.save(run.state, {}, {})
                blocks.append(time.perf_counter() - start)
                during = steps(run, max(1, round(2 * blocks[-1] / step)))
                slow.append(sum(during) - step * len(during))
        start = time.perf_counter()
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            checkpoints.save(run.state, {}, {})
        writes.append(time.perf_counter() - start)
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            restore, _ = timed(lambda: checkpoints.restore_latest(abstract))
    lost = statistics.median(blocks) + max(0.0, statistics.median(slow))
    return {
        "gib": sum(x.nbytes for x in jax.tree.leaves(run.state)) / 2**30,
        "save_blocks_seconds": statistics.median(blocks),
        "slowdown_seconds": statistics.median(slow),
        "write_seconds": statistics.median(writes),
        "restore_seconds": restore,
        "every": config.checkpoint.every,
        "stall_fraction": lost / (lost + config.checkpoint.every / 2 * step),  # Checkpoints.due
    }
