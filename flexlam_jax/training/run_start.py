"""How a start of a run was made: what one would want to know of it a year later."""

import datetime
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax


def describe_start() -> dict[str, Any]:
    import flax  # noqa: E401  only for their versions
    import numpy
    import optax
    import orbax.checkpoint

    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "git": git_revision(),
        "host": socket.gethostname(),
        "python": sys.version.split()[0],
        "versions": {
            "jax": jax.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "orbax": orbax.checkpoint.__version__,
            "numpy": numpy.__version__,
        },
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
    }


def git_revision() -> str:
    """Commit of this checkout with "+changes" when files differ from it.

    Outside git it is $FLEXLAM_REVISION, which the launchers set on machines that have a copy of the
    checkout only, or "unknown".
    """

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *args],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "+changes" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("FLEXLAM_REVISION", "unknown")
