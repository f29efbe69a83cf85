"""The flag --config: reads a preset and makes its keys flags.

What a person can mend, a file that is no preset or a key that does not exist, is a ConfigError. A
bug inside a preset keeps its traceback: it is not for ml_collections and absl to reword.
"""

import difflib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, FieldReference, config_flags

from experiments.configs.keys import LamConfig
from experiments.tasks.registry import settings_of
from flexlam_jax.config.settings import Key, describe, keys_of
from flexlam_jax.errors import ConfigError

flags.disclaim_key_flags()  # The flag belongs to the binary that asks for it: its --help lists it.
_OVERRIDE = re.compile(r"--?config\.([^=]+)")


class Failed(Exception):
    """Carries what a preset raised, its cause, past absl, which would reword most kinds."""


def define_config(help_text: str, flag_values: flags.FlagValues = flags.FLAGS) -> flags.FlagHolder:
    """The flag --config, whose help lists every key of a config."""
    holder = config_flags.DEFINE_config_file(
        "config",
        None,
        f"{help_text} Any value of it is a flag after it, as "
        f"--config.optimizer.learning_rate=1e-4. Its keys:\n{describe(LamConfig)}",
        flag_values=flag_values,
    )
    flag_values["config"].parser = _Parser()
    return holder


class _Parser(flags.ArgumentParser):
    """FILE or FILE:variant to a locked ConfigDict that has every key given as a flag."""

    def parse(self, path: str) -> ConfigDict:
        try:
            config = read_preset(path)
            add_given_keys(config, sys.argv)
        except Exception as error:
            raise Failed from error
        return config.lock()

    def flag_type(self) -> str:
        return "preset"


def read_preset(path: str) -> ConfigDict:
    """The config of FILE or FILE:variant.

    Raises:
      ConfigError: no such file, or one that is no preset. What the file itself raises goes on.
    """
    file, colon, variant = path.partition(":")
    if not os.path.isfile(file):
        raise ConfigError(f"--config={path}: there is no file {file!r}")
    if not file.endswith(".py"):
        raise ConfigError(
            f"--config is no preset, a Python file as experiments/configs/base.py: {file}"
        )
    spec = importlib.util.spec_from_file_location("preset", os.path.abspath(file))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        if error.filename != module.__file__:
            raise
        raise ConfigError(f"--config is no preset: {error}") from error
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise ConfigError(f"--config is no preset: {file} has no function get_config")
    if colon and not inspect.signature(get_config).parameters:
        raise ConfigError(f"--config={path}: this preset has no variants")
    config = get_config(variant) if colon else get_config()
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config is no preset: get_config of {file} returns {type(config).__name__}, "
            "not an ml_collections.ConfigDict"
        )
    return config


def add_given_keys(config: ConfigDict, argv: Sequence[str]) -> None:
    """Adds keys that flags give and the preset leaves out: those with a default, and free names.

    Raises:
      ConfigError: a key that does not exist.
    """
    known = keys_of(settings_of(config))
    for argument in argv[1:]:
        if given := _OVERRIDE.match(argument):
            *path, name = given[1].split(".")
            section = config
            for depth, part in enumerate(path):
                if part not in section and _exists(known, path[: depth + 1]):
                    section[part] = ConfigDict()
                section = section.get(part)
                if not isinstance(section, ConfigDict):
                    raise _unknown(argument, config, path[:depth])
            if name not in section:
                if not _exists(known, [*path, name]):
                    raise _unknown(argument, config, path)
                section[name] = FieldReference(None, field_type=object)


def _exists(known: Mapping[str, Key], path: Sequence[str]) -> bool:
    """Whether a config may have a key or section of this name."""
    names = [".".join(path[:length]) for length in range(1, len(path) + 1)]
    free = any(name in known and isinstance(known[name].default, dict) for name in names)
    return free or names[-1] in known or any(key.startswith(f"{names[-1]}.") for key in known)


def _unknown(argument: str, config: ConfigDict, path: Sequence[str]) -> ConfigError:
    section: Any = config
    for part in path:
        section = section[part]
    where = ".".join(["config", *path])
    given = argument.lstrip("-").partition("=")[0].split(".")[len(path) + 1]
    near = [] if given in section else difflib.get_close_matches(given, list(section), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return ConfigError(f"unknown config key in {argument}; {hint}{where} has {', '.join(section)}")
