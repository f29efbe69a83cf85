"""Begins a process that hosts a simulator, in the interpreter of its environment.

    <environment>/bin/python -I start.py '{"data_pipelines": FOLDER, ...}' MODULE:CLASS READ WRITE

A script, not a module: the environment has none of the packages of its owner, and must not see them
either, so the folders of the packages that it needs are lent by name, and nothing beside them.
READ, WRITE: file descriptors of the pipes.
"""

import json
import signal
import sys
import types

LACKS_NUMPY = 79  # the exit code of a process that cannot speak, as its messages hold arrays


def lend(packages: dict[str, str]) -> None:
    """Makes packages importable: {name: folder}."""
    for name, folder in packages.items():
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its owner's to answer, with whom it ends
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.exit(LACKS_NUMPY)
    lend(json.loads(sys.argv[1]))
    from data_pipelines.simulators.remote.host import serve

    serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
