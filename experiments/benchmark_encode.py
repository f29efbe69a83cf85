"""Measures what a policy team waits for: loading a checkpoint, the first encode, the later ones.

    python -m experiments.benchmark_encode --checkpoint=runs/doom

Loading is timed in fresh interpreters, imports and compilation included; the best counts, because
the rest is what other programs on the machine did.
"""

import subprocess
import sys
import time

import numpy as np
from absl import flags

import flexlam_jax
from experiments import cli

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of the latent action model.")
_BATCH = flags.DEFINE_integer("batch_size", 256, "Pairs per call.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 5.0, "How long to encode.", lower_bound=0.1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Fresh interpreters to start.", lower_bound=1)
flags.mark_flag_as_required("checkpoint")

_FRESH = """
import sys, time
start = time.perf_counter()
import numpy as np, flexlam_jax
lam = flexlam_jax.load(sys.argv[1])
loaded = time.perf_counter()
frame = np.zeros(lam.frame_shape, np.uint8)
lam.encode(frame, frame, keep=1)
print(loaded - start, time.perf_counter() - start)
"""


def main(argv):
    del argv
    lam = flexlam_jax.load(_CHECKPOINT.value)
    times = [fresh_start(_CHECKPOINT.value) for _ in range(_REPEATS.value)]
    print(f"load                  {min(t[0] for t in times):6.2f} s (import included)")
    print(f"load and first encode {min(t[1] for t in times):6.2f} s")
    print(
        f"encode                {encode_rate(lam, _BATCH.value, _SECONDS.value):6.0f} pairs/s "
        f"in batches of {_BATCH.value}"
    )


def fresh_start(checkpoint: str) -> tuple[float, float]:
    """Seconds until a new interpreter has loaded the model, and until it has encoded one pair."""
    result = subprocess.run(
        [sys.executable, "-c", _FRESH, checkpoint],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    loaded, encoded = map(float, result.stdout.split())
    return loaded, encoded


def encode_rate(lam, batch_size: int, seconds: float) -> float:
    """Pairs per second, host arrays in and out."""
    frames = np.random.default_rng(0).integers(
        0, 256, (2, batch_size, *lam.frame_shape), dtype=np.uint8
    )
    lam.encode(*frames)
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        lam.encode(*frames)
        calls += 1
    return calls * batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    cli.run(main)
