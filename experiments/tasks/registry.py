"""The model families that `experiments.train` knows, by the `kind` of a config.

A kind is a module with

    SETTINGS                    dataclass of its config's keys; without one, a config's keys beside
                                those of all kinds are the module's own affair
    build(config) -> Task       of a config whose numbers are in their ranges; see task.py

A new family is one module and one line here; one of your own, outside this package, is used by its
dotted path: `config.kind = "my_lab.tasks.kitchen"`. A module is imported when a config names it.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data_pipelines.loading.options import plain_options
from experiments.configs.keys import TaskSettings
from flexlam_jax.config.settings import check
from flexlam_jax.errors import ConfigError

if TYPE_CHECKING:  # Binaries that train nothing check their config without importing the loop.
    from experiments.tasks.task import Task
    from flexlam_jax.objectives.objective import Objective

TASKS = {
    "lam": "experiments.tasks.lam",
    "lam_finetune": "experiments.tasks.lam_finetune",
    "vector_lam": "experiments.tasks.vector_lam",
    "behaviour_cloning": "experiments.tasks.behaviour_cloning",
    "token_policy": "experiments.tasks.token_policy",
    "hilam": "experiments.tasks.hilam",
    "policy": "experiments.tasks.policy",
    "tokenizer": "experiments.tasks.tokenizer",
    "dynamics": "experiments.tasks.dynamics",
}
DEFAULT = "lam"  # Of configs from before there were kinds.


def kind_of(config: Mapping[str, Any]) -> str:
    """The kind that a config names."""
    return config.get("kind", DEFAULT)


def task_module(config: Mapping[str, Any]) -> types.ModuleType:
    """The module of a config's kind.

    Raises:
      ConfigError: a kind that does not exist (the message lists those that do), or a module that
        is no task.
    """
    kind = kind_of(config)
    dotted = isinstance(kind, str) and "." in kind and all(map(str.isidentifier, kind.split(".")))
    if kind not in TASKS and not dotted:
        raise ConfigError(
            f"config.kind={kind!r} is unknown; choose one of {', '.join(TASKS)}, or give the "
            "dotted path of a module of your own"
        )
    name = TASKS.get(kind, kind)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # Found, but it imports what is not installed.
        raise ConfigError(f"config.kind={kind!r}: {error}; is its folder on PYTHONPATH?") from error
    if not hasattr(module, "build"):
        raise ConfigError(
            f"config.kind={kind!r}: module {name} is no task; it needs a function build(config)"
        )
    return module


def settings_of(config: Mapping[str, Any]) -> type:
    """The dataclass of a config's keys, TaskSettings for a kind that has none; errors as above."""
    return getattr(task_module(config), "SETTINGS", TaskSettings)


def check_config(config: Mapping[str, Any]) -> None:
    """What can be said of the config of a run before devices, data and folders are touched.

    Raises:
      ConfigError: as `task_module`; keys that are missing, unknown, or out of their ranges.
    """
    settings = settings_of(config)
    check(_plain(config), settings, others=settings is TaskSettings)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as its readers see it: a single name in `data` is a list of one."""
    plain = dict(config.items())
    if hasattr(plain.get("data"), "items"):
        plain["data"] = plain_options(plain["data"])
    return plain


def build_task(config: Mapping[str, Any]) -> Task:
    """The task of a config; raises ConfigError as `task_module`, and what `build` says of it."""
    return task_module(config).build(config)


def as_run(config: Any) -> Any:
    """The config with what its task adds, as the parameters that it freezes; raises as `build_task`."""
    return build_task(config).config or config


def on_paper(config: Mapping[str, Any]) -> tuple[Objective, Any]:
    """(objective, global batch shapes) of a config, as plans take them; raises as `build_task`."""
    task = build_task(config)
    return task.objective, task.batch
