"""Memory of the host that a training step uses again instead of asking the kernel for it."""

import ctypes
import importlib.metadata
import importlib.util

import jax

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def reuse_host_memory() -> bool:
    """Where the CPU is the only device: freed memory stays with the process. True if it was set.

    XLA:CPU allocates a step's activations anew in every step, and glibc maps and unmaps such large
    blocks: the kernel then zeroes every page again (155,000 page faults in a step of the ViT of
    docs/PERF.md, a fifth of its time). Resident memory stays at its largest; it grows no higher.

    One arena for all threads, because only the first arena grows without maps. Call it before the
    first array is made: threads keep the arena they have. No-op on other C libraries than glibc.
    """
    libc = ctypes.CDLL(None)
    if not _cpu_only() or not hasattr(libc, "mallopt"):
        return False
    # -1 as a threshold: never give memory back.
    return all(
        [libc.mallopt(_ARENA_MAX, 1), libc.mallopt(_MMAP_MAX, 0), libc.mallopt(_TRIM_THRESHOLD, -1)]
    )


def _cpu_only() -> bool:
    """Without asking JAX for its devices: `jax.distributed` must come before that."""
    platforms = jax.config.jax_platforms
    if platforms:
        return platforms == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None
