"""How long a world takes for a frame, one row at a time, as a page plays it."""

import time
from collections.abc import Callable

import numpy as np

from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.reports.results import Number
from flexlam_jax.world.world import World

WARM_UP = 5  # steps that compile and are not counted


def latency(
    world: World,
    start: np.ndarray,
    codes: np.ndarray,
    keep: int | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008, it is frozen.
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Number]:
    """Milliseconds per step, from code to frame on the host: {"p50", "p95", "fps"}.

    Args:
      start: uint8 (1, T0, H, W, C).
      codes: float32 (M, K, D), given one after the other, after WARM_UP steps with the first.
      clock: seconds.

    Returns:
      Numbers over steps, resampled as if these were independent: of this process, on this machine, as
      busy as it was. fps is 1 / the mean.
    """
    state = world.start(start)

    def step(code: np.ndarray, number: int) -> None:
        nonlocal state
        frame, state = world.step(
            state,
            code[None],
            keep,
            seed=(sampling.seed + number) % 2**31,
            steps=sampling.steps,
            temperature=sampling.temperature,
        )
        np.asarray(frame)

    for number in range(WARM_UP):
        step(codes[0], number)
    taken = []
    for number, code in enumerate(codes):
        before = clock()
        step(code, WARM_UP + number)
        taken.append(1000 * (clock() - before))
    times = np.array(taken)
    drawn = np.random.default_rng(0).integers(0, len(times), (intervals.RESAMPLES, len(times)))
    samples = np.concatenate([times[None], times[drawn]])
    return {
        "p50": _number(np.percentile(samples, 50, axis=1), "ms", len(times)),
        "p95": _number(np.percentile(samples, 95, axis=1), "ms", len(times)),
        "fps": _number(1000 / np.maximum(samples.mean(1), 1e-9), "frames/s", len(times)),
    }


def _number(samples: np.ndarray, unit: str, steps: int) -> Number:
    low, high = intervals.percentiles(samples[1:])
    return Number(float(samples[0]), low, high, steps, unit, "steps")
