"""Becomes a command that is asked to stop as soon as its parent is gone, also when that was killed.

    python -m experiments.pieces.with_parent PARENT MODULE [FLAGS]

Or the commands of a killed sweep would go on, and the next one meet them in their folders. A
process cannot do this to one that it starts, but by code between fork and exec, which is not safe
beside JAX's threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, *command: str) -> None:
    if sys.platform == "linux":  # It stays set in what the process becomes.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:
        os.execv(sys.executable, [sys.executable, "-m", *command])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
