"""Compiled programs kept on disk, so that what was compiled before starts in seconds."""

import contextlib
import hashlib
import logging
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import zstandard
from jax.experimental.compilation_cache import compilation_cache

from flexlam_jax.parallel import distributed

_log = logging.getLogger(__name__)


def use_compilation_cache(directory: str) -> None:
    """Keeps compiled programs in `directory` ("" leaves JAX's own settings alone).

    A program from the cache is the same program, so that results stay equal bit for bit.
    """
    if directory:
        path = directory if "://" in directory else str(Path(directory).expanduser().absolute())
        jax.config.update("jax_compilation_cache_dir", path)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@contextlib.contextmanager
def compiled_programs_in(directory: Path) -> Iterator[None]:
    """Keeps compiled programs in `directory` while it is open, where JAX is not told to keep them
    elsewhere (`use_compilation_cache`, JAX_COMPILATION_CACHE_DIR).
    """
    if jax.config.jax_compilation_cache_dir:
        with _told_once():
            yield
        return
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    folder = directory / _processor() if jax.default_backend() == "cpu" else directory
    if distributed.process_index() == 0:  # Who writes it.
        _drop_halves(folder)
    use_compilation_cache(str(folder))
    compilation_cache.reset_cache()  # JAX looks at the settings once, at the first compilation.
    try:
        with _told_once():
            yield
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
        compilation_cache.reset_cache()


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
    """JAX warns of every program that cannot be kept or read; a run goes on without."""
    before, told = warnings.showwarning, []

    def show(message: Any, *args: Any, **kwargs: Any) -> None:
        if "persistent compilation cache" not in str(message):
            before(message, *args, **kwargs)
        elif not told:
            told.append(message)
            _log.warning(
                "compiled programs cannot be kept or read (%s); the run goes on, and its "
                "next start compiles them again",
                str(message).split("': ", 1)[-1],
            )

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _drop_halves(folder: Path) -> None:
    """Deletes what a killed run had begun to write: JAX would warn of it in every run and keep it."""
    for file in folder.glob("*-cache"):
        try:
            zstandard.ZstdDecompressor().decompress(file.read_bytes())
        except zstandard.ZstdError:
            with contextlib.suppress(OSError):  # Of another user, or the storage is read-only.
                file.unlink()
        except OSError:  # JAX warns of it and compiles.
            pass


def _processor() -> str:
    """A name for this kind of CPU: its programs may hold instructions that another does not have.

    Of accelerators JAX's own keys tell the kinds apart.
    """
    try:
        with open("/proc/cpuinfo") as file:
            features = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:  # Not Linux.
        features = platform.processor()
    words = " ".join(sorted(features.split()))
    return f"{platform.machine()}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
