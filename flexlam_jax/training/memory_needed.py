"""Says before memory is asked for that a run cannot fit: counts with a zero too many.

Only what is certain is counted, and compared with all the memory that there is, so that no run is
refused that would have worked; `experiments.plan_pod` tells what fits, to the byte.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import distributed
from flexlam_jax.parallel.sharding import tree_bytes
from flexlam_jax.parallel.streams import rows_of

_GIB = 2**30
# Where the kernel says how much a container may use; version 2 and 1 of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_host_memory(batch: Any, config: Mapping[str, Any]) -> None:
    """The batches that a process holds: those read ahead, and those of the evaluation.

    Args:
      batch: global shapes of a batch.
      config: of the run; data.prefetch and eval.batches are read.

    Raises:
      ConfigError: they are more than the memory of this machine.
    """
    total = host_bytes()
    share = tree_bytes(batch) / distributed.process_count()
    held = {
        "data.prefetch": config["data"].get("prefetch", 1),
        "eval.batches": config["eval"]["batches"],
    }
    for key, count in held.items():
        needed = share * max(1, count)
        if total and needed > total:
            raise ConfigError(
                f"batches of config.batch_size={rows_of(batch)} rows, {share / _GIB:.2g} "
                f"GiB in every process, times config.{key}={count}, need {needed / _GIB:.1f} GiB "
                f"of memory; this machine has {total / _GIB:.1f} GiB"
            )


def check_device_memory(objective: Objective, batch: Any, config: Mapping[str, Any]) -> None:
    """Parameters, gradients and moments, and a batch.

    Args:
      batch: global shapes of a batch.
      config: of the run; optimizer.ema_decay are read.

    Raises:
      ConfigError: they are more than the memory of all devices together.
    """
    total = device_bytes()
    variables = dict(jax.eval_shape(lambda x: objective.init(jax.random.key(0), x), batch))
    everything, parameters = _values(variables), _values(variables["params"])
    # Values, gradients, two moments, the average.
    copies = 4 + (config["optimizer"]["ema_decay"] > 0)
    state = 4 * (copies * parameters + everything - parameters)
    rows = tree_bytes(batch)
    if total and state + rows > total:
        raise ConfigError(
            f"{parameters:.3g} parameters with gradients and moments need {state / _GIB:.1f} GiB, "
            f"a batch of config.batch_size={rows_of(batch)} rows {rows / _GIB:.1f} GiB; all "
            f"devices together have {total / _GIB:.1f} GiB"
        )


def _values(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


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
