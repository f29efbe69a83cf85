"""Measures speed; writes one JSON row per call to stdout and, with --out=FILE, to the end of FILE.

    python -m experiments.benchmark --config=experiments/configs/vit256.py --what=train,encode
    python -m experiments.benchmark --config=experiments/configs/base.py --what=parts,checkpoint
    python -m experiments.benchmark --config=experiments/configs/doom.py --what=loader --data=DIR
    python -m experiments.benchmark --config=experiments/configs/vit256.py --sweep=batch,clip
    python -m experiments.benchmark --checkpoint=runs/doom --what=load,encode
    python -m experiments.benchmark --config=experiments/configs/hilam.py --what=chunking,step

train       the loop's own step on random frames: transitions per second, analytic FLOPs, and MFU
            against a matmul measured in the same process
parts       encoder, decoder and optimizer as programs of their own, beside the step
encode      clips of the preset; with --checkpoint `LoadedLam.encode`, as a policy team calls it
loader      the loader on its own, and the share of step time that waits for it (--data)
checkpoint  what a save stalls, the share of training that is at the preset's interval, restoring
load        a new process: import, `flexlam_jax.load`, first `encode` of one pair (--checkpoint)
chunking    a chunk stage beside two plain transformer blocks, 64 rows of 256 positions, width 256
step        steps per second of one row of skills or of a chunk policy, as in acting

--sweep repeats `train` with one thing changed at a time: batch, resolution, clip (at about the same
number of transitions), slots, parameters (width), remat. Any value of the preset is a flag after
--config. A batch that the device cannot hold is cut into micro-batches; the row says `accumulate`.
Compare only rows of one sitting, in turns.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import json
import os
import statistics
import subprocess
import sys
import time

import flax
import jax
import jaxlib
import numpy as np
from absl import flags

from experiments import benchmark_lam, benchmark_parts, benchmark_skills, cli
from experiments.benchmark_run import timed
from experiments.benchmark_sweeps import SWEEPS, variations
from flexlam_jax.errors import UserError
from flexlam_jax.loading.load import LAM, load_as
from flexlam_jax.training.compilation import use_compilation_cache
from flexlam_jax.training.host_memory import reuse_host_memory
from flexlam_jax.training.run_start import git_revision

_CONFIG = cli.define_config()
_WHAT = flags.DEFINE_list(
    "what",
    None,
    "Any of train, parts, encode, loader, checkpoint, load, chunking, step; "
    "train when neither this nor --sweep is given.",
)
_SWEEP = flags.DEFINE_list("sweep", [], f"Any of {', '.join(SWEEPS)}.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory, for load and encode.")
_DATA = flags.DEFINE_string("data", None, "Dataset folder, for loader.")
_OUT = flags.DEFINE_string("out", None, "File that the row is appended to.")
_REPEATS = flags.DEFINE_integer("repeats", 20, "Timed repetitions.", lower_bound=1)
_ENCODE_BATCH = flags.DEFINE_integer(
    "encode_batch", 256, "Pairs per call, with --checkpoint.", lower_bound=1
)

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
    reuse_host_memory()
    what = _WHAT.value if _WHAT.value is not None else [] if _SWEEP.value else ["train"]
    for flag, given, known in (("what", what, _MEASURES), ("sweep", _SWEEP.value, SWEEPS)):
        for name in given:
            if name not in known:
                raise UserError(f"--{flag}={name} is unknown; choose any of {', '.join(known)}")
    row = _description()
    for name in what:
        row[name] = _MEASURES[name]()
    for name in _SWEEP.value:
        row.setdefault("sweep", {})[name] = [
            {"value": value, **benchmark_parts.train(config, _REPEATS.value)}
            for value, config in zip(SWEEPS[name][0], variations(_preset(), name), strict=True)
        ]
    text = json.dumps(row)
    print(text)
    if _OUT.value:
        with open(_OUT.value, "a") as file:
            file.write(text + "\n")


def _description():
    """Everything about the measurement but the numbers."""
    device = jax.devices()[0]
    return {
        "command": " ".join(["python -m experiments.benchmark", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "git": git_revision(),
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "device": f"{jax.device_count()} x {device.device_kind}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line[:10] == "model name")
    except (OSError, StopIteration):
        return "unknown"


def _preset():
    if _CONFIG.value is None:
        raise UserError("this measure needs --config=PRESET")
    config = cli.config_value(_CONFIG)
    use_compilation_cache(config.compilation_cache)
    return config


def _train():
    return benchmark_parts.train(_preset(), _REPEATS.value)


def _parts():
    return benchmark_lam.parts(_preset(), _REPEATS.value)


def _checkpoint():
    return benchmark_parts.checkpoint(_preset(), _REPEATS.value)


def _loader():
    config = _preset()
    path = _DATA.value or config.data.path
    if not path:
        raise UserError("--what=loader needs --data=DIR")
    config.data.path = path
    return benchmark_parts.loader(config, _REPEATS.value)


def _encode():
    if not _CHECKPOINT.value:
        return benchmark_lam.encode(_preset(), _REPEATS.value)
    lam = load_as(LAM, _CHECKPOINT.value)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (_ENCODE_BATCH.value, 2, *lam.frame_shape), np.uint8)
    seconds = [
        timed(lambda: np.asarray(lam.encode(frames[:, 0], frames[:, 1])))[0]
        for _ in range(_REPEATS.value + 1)
    ][1:]  # The first compiles.
    return {"pairs_per_second": len(frames) / statistics.median(seconds), "batch": len(frames)}


def _chunking():
    return benchmark_skills.chunking_speed(_REPEATS.value)


def _step():
    return benchmark_skills.step_rate(_preset(), _REPEATS.value)


def _load():
    if not _CHECKPOINT.value:
        raise UserError("--what=load needs --checkpoint=WORKDIR")
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_CODE, _CHECKPOINT.value], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"loading {_CHECKPOINT.value} failed:\n{done.stderr[-500:]}")
        seconds.append(float(done.stdout.split()[-1]))
    return {
        "seconds_to_first_code": statistics.median(seconds),
        "range": [min(seconds), max(seconds)],
    }


_MEASURES = {
    "train": _train,
    "parts": _parts,
    "encode": _encode,
    "loader": _loader,
    "checkpoint": _checkpoint,
    "load": _load,
    "chunking": _chunking,
    "step": _step,
}


if __name__ == "__main__":
    cli.run(main)
