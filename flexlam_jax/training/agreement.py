"""Processes of one run must run the same thing: config, code, packages. Checked before any step."""

import hashlib
import importlib.metadata
import json
import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.parallel import distributed
from flexlam_jax.training.workdir import flatten

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_MAX_LINES = 20


def check_agreement(config: Mapping[str, Any]) -> None:
    """Compares what every process is about to run with what process 0 is.

    Differences in any of it make processes compile different programs, which then hang in their
    collectives or, worse, do not.

    Raises:
      UserError: on every process, with the same message: which process differs in what.
    """
    if distributed.process_count() == 1:
        return
    told = distributed.gather(
        "agreement", json.dumps({"host": socket.gethostname(), "facts": facts(config)})
    )
    verdict = "" if told is None else differences([json.loads(text) for text in told])
    verdict = distributed.broadcast("agreement", verdict)
    if verdict:
        raise UserError(verdict)


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """{name: value} of all that must be equal. No device is touched."""
    return {
        **{f"config.{key}": value for key, value in flatten(config).items()},
        **{f"version of {name}": _version(name) for name in _PACKAGES},
        "version of Python": platform.python_version(),
        "code": code_digest(),
    }


def differences(told: list[dict[str, Any]]) -> str:
    """One screen about the processes that differ from process 0; "" when none does."""
    reference, lines = told[0], []
    for index, other in enumerate(told[1:], 1):
        here, there = reference["facts"], other["facts"]
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                lines.append(
                    f"  process {index} ({other['host']}): {name} is "
                    f"{there.get(name, '(unset)')}, on process 0 "
                    f"({reference['host']}) {here.get(name, '(unset)')}"
                )
    if not lines:
        return ""
    shown = lines[:_MAX_LINES]
    if len(lines) > len(shown):
        shown.append(f"  ... and {len(lines) - len(shown)} more")
    return "\n".join(
        [
            "the processes of this run do not agree:",
            *shown,
            "Start every process with the same command, code and packages.",
        ]
    )


def code_digest() -> str:
    """Short hash of this project's Python files; unlike a git revision it sees local changes."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in ("flexlam_jax", "data_pipelines", "experiments"):
        for file in sorted((root / package).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
