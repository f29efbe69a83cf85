"""Measures speed and writes one JSON row: training step, encoding, and the time to a first code.

    python -m experiments.benchmark --config=experiments/configs/doom.py --what=train
    python -m experiments.benchmark --config=experiments/configs/vit256.py --what=train
    python -m experiments.benchmark --checkpoint=runs/doom --what=load,encode

train   the loop's own step (forward, backward, AdamW) on random frames: transitions per second,
        analytic FLOPs, and MFU against a matmul measured in the same process.
encode  `LoadedLam.encode` on batches of uint8 pairs, as a policy team calls it.
load    a new process: import, `flexlam_jax.load`, first `encode` of one pair.

Medians over repetitions; compare only rows measured in one sitting. The loader has its own:
`python -m data_pipelines.benchmark_loader`.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from absl import flags
import jax
import jax.numpy as jnp
from ml_collections import config_flags
import numpy as np

from experiments import cli
from flexlam_jax.errors import UserError
from flexlam_jax.loading import load
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.training.mesh import make_mesh
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.performance import measure_peak_tflops
from flexlam_jax.training.state import create_state
from flexlam_jax.training.step import make_train_step

_CONFIG = config_flags.DEFINE_config_file("config", None, "Preset, for train.")
_WHAT = flags.DEFINE_list("what", ["train"], "Any of train, encode, load.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory, for encode, load.")
_REPEATS = flags.DEFINE_integer("repeats", 20, "Timed repetitions.", lower_bound=1)
_ENCODE_BATCH = flags.DEFINE_integer("encode_batch", 256, "Pairs per call.", lower_bound=1)

_FIRST_CODE = """
import sys, time
start = time.perf_counter()
import numpy as np, flexlam_jax
lam = flexlam_jax.load(sys.argv[1])
frame = np.zeros(lam.frame_shape, np.uint8)
np.asarray(lam.encode(frame, frame))
print(time.perf_counter() - start)
"""


def main(argv):
    del argv
    row = {"python": sys.version.split()[0], "jax": jax.__version__, "cores": os.cpu_count(),
           "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}
    measures = {"train": _train, "encode": _encode, "load": _load}
    for what in _WHAT.value:
        if what not in measures:
            raise UserError(f"--what={what} is unknown; choose any of {', '.join(measures)}")
        row[what] = measures[what]()
    print(json.dumps(row))


def _checkpoint():
    if not _CHECKPOINT.value:
        raise UserError("--what=encode and --what=load need --checkpoint=WORKDIR")
    return _CHECKPOINT.value


def _train():
    if _CONFIG.value is None:
        raise UserError("--what=train needs --config=PRESET")
    config = cli.config_value(_CONFIG)
    with cli.reading_config():
        objective = lam_objective(build_lam(config.model), config.model, config.loss,
                                  clip_length=config.data.clip_length)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    size = config.model.image_size
    shape = (config.batch_size, config.data.clip_length, size, size, config.model.channels)
    batch = {"frames": jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))}
    state = create_state(objective, optimizer, batch, seed=config.seed, ema=False)
    step = jax.jit(make_train_step(objective, optimizer, schedule, seed=config.seed),
                   donate_argnums=0)
    state, metrics = step(state, batch)     # Compiles.
    seconds = []
    for _ in range(_REPEATS.value):
        jax.block_until_ready(state)
        start = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics["loss"])
        seconds.append(time.perf_counter() - start)
    peak = measure_peak_tflops(make_mesh(config.mesh), config.model.dtype)
    median = statistics.median(seconds)
    transitions = config.batch_size * (config.data.clip_length - 1)
    flops = objective.flops_per_example * config.batch_size
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "clip_length": config.data.clip_length, "batch_size": config.batch_size,
        "step_seconds": median, "step_seconds_range": [min(seconds), max(seconds)],
        "transitions_per_second": transitions / median,
        "gflops_per_transition": flops / transitions / 1e9,
        "tflops_per_second": flops / median / 1e12, "peak_tflops": peak,
        "mfu": flops / median / 1e12 / peak,
    }


def _encode():
    lam = load(_checkpoint())
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (_ENCODE_BATCH.value, 2, *lam.frame_shape), np.uint8)
    lam.encode(frames[:, 0], frames[:, 1])  # Compiles.
    seconds = []
    for _ in range(_REPEATS.value):
        start = time.perf_counter()
        np.asarray(lam.encode(frames[:, 0], frames[:, 1]))
        seconds.append(time.perf_counter() - start)
    return {"pairs_per_second": len(frames) / statistics.median(seconds), "batch": len(frames)}


def _load():
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _FIRST_CODE, _checkpoint()],
                              capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"loading {_checkpoint()} failed:\n{done.stderr[-500:]}")
        seconds.append(float(done.stdout.split()[-1]))
    return {"seconds_to_first_code": statistics.median(seconds), "range": [min(seconds),
                                                                           max(seconds)]}


if __name__ == "__main__":
    cli.run(main)
