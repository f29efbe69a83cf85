"""The model families that `experiments.train` knows, by the `kind` of a config.

A kind is a module with

    build(config) -> Task       of a config whose numbers are in their ranges; see task.py

A new family is one module and one line here; one of your own, outside this package, is used by its
dotted path: `config.kind = "my_lab.tasks.kitchen"`.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from experiments.tasks.task import Task
from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Objective

TASKS = {"lam": "experiments.tasks.lam"}
DEFAULT = "lam"  # Of configs from before there were kinds.


def kind_of(config: Mapping[str, Any]) -> str:
    """The kind that a config names."""
    return config.get("kind", DEFAULT)


def build_task(config: Mapping[str, Any]) -> Task:
    """The task of a config.

    Raises:
      ConfigError: a kind that does not exist (the message lists those that do), a module that is
        no task, or what `build` of the kind says of the config.
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
    return module.build(config)


def on_paper(config: Mapping[str, Any]) -> tuple[Objective, Any]:
    """(objective, global batch shapes) of a config, as plans take them; raises as `build_task`."""
    task = build_task(config)
    return task.objective, task.batch
