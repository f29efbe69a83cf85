"""The persistent compilation cache, so that a restarted run trains again within seconds."""

from pathlib import Path

import jax


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs in `directory` ("" leaves JAX's own settings alone).

    A program from the cache is the same program, so that results stay equal bit for bit.
    """
    if directory:
        path = directory if "://" in directory else str(Path(directory).expanduser().absolute())
        jax.config.update("jax_compilation_cache_dir", path)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
