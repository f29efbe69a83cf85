"""What experiments/benchmark.py times: steps and their parts, encoding, data, checkpoints.

Every function returns plain numbers, medians unless the name says otherwise. Programs that are
compared run in turns, so that a machine that slows down slows all of them down.
"""

import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.loading.loader import training_batches
from experiments.benchmark_subject import build_micro_batch, build_that_fits, steps, timed
from flexlam_jax.parallel import sharding
from flexlam_jax.training.batches import DeviceBatches
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.performance import device_gib, measure_peak_tflops


def train(config: Any, repeats: int) -> dict[str, Any]:
    """The loop's own step; MFU is analytic FLOPs over a matmul measured before and after it."""
    subject = build_that_fits(config)
    peaks = [measure_peak_tflops(subject.mesh, config.model.dtype)]
    seconds = steps(subject, repeats)
    peaks.append(measure_peak_tflops(subject.mesh, config.model.dtype))
    median, peak = statistics.median(seconds), max(peaks)
    flops = subject.objective.flops_per_example * config.batch_size
    row = {
        "parameters": sum(x.size for x in jax.tree.leaves(subject.state.params)),
        "remat": config.model.remat,
        "accumulate": subject.config.optimizer.accumulate,
        "clip_length": config.data.clip_length,
        "batch_size": config.batch_size,
        "image_size": config.model.image_size,
        "slots": config.model.slots,
        "step_seconds": median,
        "step_seconds_range": [min(seconds), max(seconds)],
        "transitions_per_second": subject.transitions / median,
        "gflops_per_transition": flops / subject.transitions / 1e9,
        "tflops_per_second": flops / median / 1e12,
        "peak_tflops": peak,
        "mfu": flops / median / 1e12 / peak,
    }
    memory = device_gib()
    return row if memory is None else {**row, "device_gib": memory}


def parts(config: Any, repeats: int) -> dict[str, float]:
    """Seconds of a step's parts, each a program of its own, in turns with the whole step.

    encoder    forward and backward, with a sum for a loss
    decoder    the same, from o_t and slots
    optimizer  clipping and AdamW on given gradients

    They need not add up: losses and metrics are in none, and fusion across parts spares copies. Of
    one micro-batch, where the preset has several or the device cannot hold them together.
    """
    subject = build_micro_batch(config)
    model, frames = subject.model, subject.batch["frames"]
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)

    def encoder(params, extra):
        return jnp.sum(model.apply({"params": params, **extra}, frames, method="encode")[0])

    def decoder(params, slots):
        return jnp.sum(model.apply({"params": params}, frames[:, :-1], slots, method="decode"))

    with jax.set_mesh(subject.mesh):
        # Copies, because the step takes the state's own arrays with it.
        state = jax.tree.map(jnp.copy, subject.state)
        params, moments = state.params, state.opt_state
        slots = jax.jit(lambda v: model.apply(v, frames, method="encode")[0])(state.variables)
        programs = {
            "encoder": (jax.jit(jax.grad(encoder)), params, state.extra),
            "decoder": (jax.jit(jax.grad(decoder, (0, 1))), params, slots),
            "optimizer": (jax.jit(optimizer.update), params, moments, params),
        }
        seconds: dict[str, list[float]] = {name: [] for name in (*programs, "step")}
        for _ in range(repeats + 1):
            for name, (program, *arguments) in programs.items():
                seconds[name].append(timed(program, *arguments)[0])
            took, (subject.state, _) = timed(subject.program.step, subject.state, subject.batch)
            seconds["step"].append(took)
    # The first of each compiles.
    return {f"{name}_seconds": statistics.median(values[1:]) for name, values in seconds.items()}


def encode(config: Any, repeats: int) -> dict[str, float]:
    """Slots of a batch of clips, as in labelling a data set; of a micro-batch, as `parts`."""
    subject = build_micro_batch(config)
    program = jax.jit(lambda v, f: subject.model.apply(v, f, method="encode")[0])
    with jax.set_mesh(subject.mesh):
        arguments = subject.state.variables, subject.batch["frames"]
        seconds = [timed(program, *arguments)[0] for _ in range(repeats + 1)][1:]
    return {"transitions_per_second": subject.transitions / statistics.median(seconds)}


def loader(config: Any, repeats: int) -> dict[str, float]:
    """The loader on its own, and the share of a training step that waits for it."""
    size = config.model.image_size
    settings = {**config.data, "image_size": size if isinstance(size, int) else 0}

    def batches():
        return training_batches(settings, seed=0, batch_size=config.batch_size)

    subject = build_that_fits(config)
    alone = batches()
    next(alone)
    seconds = [timed(lambda: next(alone))[0] for _ in range(repeats)]
    alone.close()
    size = config.batch_size
    device_batches = DeviceBatches(
        batches(),
        sharding.batch_sharding(subject.mesh),
        batch_size=size,
        rows=sharding.process_rows(subject.mesh, size),
    )
    with jax.set_mesh(subject.mesh), device_batches as data:
        waited, start = 0.0, 0.0
        for turn in range(repeats + 1):
            batch = next(data)
            wait = data.take_wait()
            if turn:
                waited += wait
            _, (subject.state, _) = timed(
                subject.program.step, subject.state, {"frames": batch["frames"]}
            )
            if not turn:
                start = time.perf_counter()
        total = time.perf_counter() - start
    return {
        "transitions_per_second": subject.transitions * repeats / sum(seconds),
        "data_wait_fraction": waited / total,
    }


def checkpoint(config: Any, repeats: int) -> dict[str, float]:
    """What a save costs training. `stall_fraction` is at the preset's `checkpoint.every`.

    Training stops for the copy off the device (`save_blocks_seconds`); the rest is written while
    it goes on, and `slowdown_seconds` is what steps lose meanwhile.
    """
    subject = build_that_fits(config)
    abstract = subject.program.abstract
    step = statistics.median(steps(subject, repeats))
    blocks, writes, slow = [], [], []
    with jax.set_mesh(subject.mesh), tempfile.TemporaryDirectory() as folder:
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            for _ in range(3):
                start = time.perf_counter()
                checkpoints.save(subject.state, {}, {})
                blocks.append(time.perf_counter() - start)
                during = steps(subject, max(1, round(2 * blocks[-1] / step)))
                slow.append(sum(during) - step * len(during))
        start = time.perf_counter()
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            checkpoints.save(subject.state, {}, {})
        writes.append(time.perf_counter() - start)
        with Checkpoints(folder, every=config.checkpoint.every, keep=1) as checkpoints:
            restore, _ = timed(lambda: checkpoints.restore_latest(abstract))
    lost = statistics.median(blocks) + max(0.0, statistics.median(slow))
    return {
        "gib": sum(x.nbytes for x in jax.tree.leaves(subject.state)) / 2**30,
        "save_blocks_seconds": statistics.median(blocks),
        "slowdown_seconds": statistics.median(slow),
        "write_seconds": statistics.median(writes),
        "restore_seconds": restore,
        "every": config.checkpoint.every,
        "stall_fraction": lost / (lost + config.checkpoint.every / 2 * step),  # Checkpoints.due
    }
