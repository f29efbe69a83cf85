"""Where ONNX Runtime Web comes from: a package of npm, one version, known by its hash.

It is not part of this repository. A copy that is given, or that lies in the cache folder from an
earlier call, is read; else npm fetches it, which is said.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flexlam_jax.errors import UserError

NAME, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = (  # As the registry tells it; of the whole package.
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
ADDRESS = f"https://registry.npmjs.org/{NAME}/-/{NAME}-{VERSION}.tgz"
_FILE = f"{NAME}-{VERSION}.tgz"
_SCRIPT, _BINARY = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
_PATIENCE = 600  # seconds, for 33 MB


class Runtime(NamedTuple):
    """script: a module of JavaScript.      binary: the WebAssembly that it is given."""

    script: bytes
    binary: bytes


def open_runtime(path: str = "", report: Callable[[str], None] = print) -> Runtime:
    """The runtime of a package: of `path`, its tarball or unpacked folder, or of the cache folder.

    Args:
      report: is told before anything is fetched.

    Raises:
      UserError: nothing there, another package or version, a file that is not what the registry has,
        or nothing to fetch it with.
    """
    if path:
        place = Path(path).expanduser()
        return _of_folder(place) if place.is_dir() else _of_tarball(place)
    kept = cached()
    if not kept.is_file():
        _fetch(kept, report)
    return _of_tarball(kept)


def cached() -> Path:
    """Where a package lies that was fetched; whether it does is for the caller to see."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "flexlam_jax" / _FILE


def _of_folder(folder: Path) -> Runtime:
    try:
        told = json.loads((folder / "package.json").read_text())
        found = f"{told.get('name')} {told.get('version')}"
        parts = [(folder / name).read_bytes() for name in (_SCRIPT, _BINARY)]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder} is no unpacked package {NAME} ({error}); give the folder that holds its "
            "package.json and dist/"
        ) from error
    if found != f"{NAME} {VERSION}":
        raise UserError(
            f"{folder} holds {found}; pages are tested with {NAME} {VERSION}: {ADDRESS}"
        )
    return Runtime(*parts)


def _of_tarball(file: Path) -> Runtime:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error}); give the tarball of {NAME} {VERSION}: {ADDRESS}"
        ) from error
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != INTEGRITY:
        raise UserError(
            f"{file} is not {NAME} {VERSION} as the registry has it ({found[:20]}…, not "
            f"{INTEGRITY[:20]}…); delete it, or get {ADDRESS}"
        )
    with tarfile.open(file) as archive:
        return Runtime(
            *(archive.extractfile(f"package/{name}").read() for name in (_SCRIPT, _BINARY))
        )


def _fetch(kept: Path, report: Callable[[str], None]) -> None:
    npm = shutil.which("npm")
    without = f"; or get {ADDRESS} yourself and give it as --runtime=FILE"
    if npm is None:
        raise UserError(f"{NAME}, which runs the model in the page, is fetched by npm{without}")
    report(f"npm fetches {NAME} {VERSION} (33 MB) to {kept}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            done = subprocess.run(
                [
                    npm,
                    "pack",
                    f"{NAME}@{VERSION}",
                    "--ignore-scripts",
                    "--pack-destination",
                    folder,
                ],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
            )
            if done.returncode:
                told = " ".join(done.stderr.split())[:300]
                raise UserError(f"npm could not fetch {NAME} {VERSION} ({told}){without}")
            os.replace(Path(folder) / _FILE, kept)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"npm could not fetch {NAME} {VERSION} ({error}){without}") from error
