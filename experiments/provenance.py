"""How a result was made, in words: command, hardware, versions, date."""

import datetime
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

import jax

import flexlam_jax


def made_by(module: str) -> dict[str, str]:
    """{"command", "hardware", "versions", "date"} of a result of `python -m module`."""
    return {
        "command": command(module),
        "hardware": hardware(),
        "versions": versions(),
        "date": date(),
    }


def command(module: str) -> str:
    """The command line of this process, run as `python -m module`."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def hardware() -> str:
    """Devices and processor of this machine."""
    return (
        f"{jax.devices()[0].device_kind} x {jax.device_count()}; {_processor()}, "
        f"{os.cpu_count()} cores"
    )


def versions() -> str:
    """Of what decides the numbers."""
    packages = ("jax", "flax", "orbax-checkpoint", "numpy")
    told = [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join(
        [*told, f"Python {platform.python_version()}", f"flexlam_jax {flexlam_jax.__version__}"]
    )


def date() -> str:
    """Now, UTC, to the minute."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.machine()
