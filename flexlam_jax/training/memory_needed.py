"""Says before memory is asked for that a run cannot fit: counts with a zero too many.

Only what is certain is counted, and compared with all the memory that there is, so that no run is
refused that would have worked; `experiments.plan_pod` tells what fits, to the byte.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import distributed

_GIB = 2**30
# Where the kernel says how much a container may use; version 2 and 1 of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_host_memory(config: Mapping[str, Any]) -> None:
    """The batches that a process holds: those read ahead, and those of the evaluation.

    Raises:
      ConfigError: they are more than the memory of this machine.
    """
    total = host_bytes()
    clip = math.prod(_clip_shape(config))
    rows = config["batch_size"] / distributed.process_count()
    held = {
        "data.prefetch": config["data"].get("prefetch", 1),
        "eval.batches": config["eval"]["batches"],
    }
    for key, count in held.items():
        needed = rows * clip * max(1, count)
        if total and needed > total:
            raise ConfigError(
                f"config.batch_size={config['batch_size']} clips of {clip} bytes, times "
                f"config.{key}={count}, need {needed / _GIB:.1f} GiB of memory in every process; "
                f"this machine has {total / _GIB:.1f} GiB"
            )


def check_device_memory(objective: Objective, config: Mapping[str, Any]) -> None:
    """Parameters, gradients and moments, and one micro-batch of predicted frames.

    Raises:
      ConfigError: they are more than the memory of all devices together.
    """
    total = device_bytes()
    optimizer = config["optimizer"]
    frames, *image = _clip_shape(config)
    clip = jax.ShapeDtypeStruct((1, frames, *image), jnp.uint8)
    variables = jax.eval_shape(
        lambda batch: objective.init(jax.random.key(0), batch), {"frames": clip}
    )
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    copies = 4 + (optimizer["ema_decay"] > 0)  # Values, gradients, two moments, the average.
    codes = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(dict(variables))) - parameters
    state = 4 * (copies * parameters + codes)
    rows = config["batch_size"] / optimizer["accumulate"]
    predicted = 4 * rows * (frames - 1) * math.prod(image)
    if total and state + predicted > total:
        raise ConfigError(
            f"{parameters:.3g} parameters with gradients and moments need {state / _GIB:.1f} GiB, "
            f"the frames predicted from {rows:.0f} clips (config.batch_size / optimizer.accumulate) "
            f"{predicted / _GIB:.1f} GiB; all devices together have {total / _GIB:.1f} GiB"
        )


def host_bytes() -> int:
    """Memory of this machine, or of the container it is; 0 where nothing tells."""
    found = []
    try:
        with open("/proc/meminfo") as file:
            found += [1024 * int(line.split()[1]) for line in file if line.startswith("MemTotal")]
    except OSError:  # Not Linux.
        pass
    for limit in map(Path, _LIMITS):
        try:
            found.append(int(limit.read_text()))
        except (OSError, ValueError):  # No such version, or "max".
            pass
    return min(found, default=0)


def device_bytes() -> int:
    """Memory of all devices of the run together; 0 where the backend does not tell.

    CPU devices share the memory of their machine.
    """
    first = jax.local_devices()[0]
    if first.platform == "cpu":
        return host_bytes() * distributed.process_count()
    return (first.memory_stats() or {}).get("bytes_limit", 0) * jax.device_count()


def _clip_shape(config: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """(T, H, W, C)."""
    size = config["model"]["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return config["data"]["clip_length"], height, width, config["model"].get("channels", 3)
