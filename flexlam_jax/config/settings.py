"""Settings of a config: one dataclass per section, beside the code that reads it, one field per
key.

A field's metadata say the rest: its range, what it is for, and whether a config must hold it.
Presets, --help and the checks here are made from them, also from dataclasses of other packages that
keep to the same metadata:

  range     what it may be: has `text`, for people, and `holds(value)`. Fields without are no keys.
  help      what it is for, in a line.
  required  True: a config without it is refused; else it has its default there.
  each      of a mapping with free names: what its values may be, a range or a dataclass.
  section   True: the field is a section with a dataclass of its own, its type.
  kinds     of a section whose `kind` chooses among dataclasses: {kind: dataclass}.
"""

import dataclasses
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_type_hints

from flexlam_jax.config.ranges import Range
from flexlam_jax.config.sections import as_dict
from flexlam_jax.errors import ConfigError


def setting(
    default: Any = dataclasses.MISSING,
    *,
    range: Any,
    help: str,
    required: bool = False,
    each: Any = None,
) -> Any:
    """A field that is a key of a config."""
    metadata = {"range": range, "help": help, "required": required, "each": each}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def section(kind: type, *, required: bool = False) -> Any:
    """A field that is a section, read by dataclass `kind`."""
    return dataclasses.field(default_factory=kind, metadata={"section": kind, "required": required})


def choice(kinds: Mapping[str, type], *, default: str | None = None, help: str) -> Any:
    """A field that is a section {'kind': name, its settings}; required without a default."""
    metadata = {"kinds": kinds, "help": help, "required": default is None}
    return dataclasses.field(
        default_factory=lambda: None if default is None else {"kind": default}, metadata=metadata
    )


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a config; see the head of this file."""

    range: Any
    help: str
    required: bool
    each: Any
    default: Any


@functools.cache
def keys_of(settings: type) -> dict[str, Key]:
    """{"optimizer.b1": Key} of all that a dataclass of settings holds, sections included.

    Where `kind` chooses among several dataclasses, the keys of all of them.
    """
    return dict(_keys(settings, ""))


def _keys(settings: type, path: str) -> Iterator[tuple[str, Key]]:
    for field in dataclasses.fields(settings):
        about, name = field.metadata, f"{path}{field.name}"
        if "section" in about:
            yield from _keys(about["section"], f"{name}.")
        elif "kinds" in about:
            kind = Range(f"one of {', '.join(sorted(about['kinds']))}", about["kinds"].__contains__)
            yield f"{name}.kind", Key(kind, about["help"], False, None, None)
            for chosen in about["kinds"].values():
                yield from _keys(chosen, f"{name}.")
        elif "range" in about:
            yield (
                name,
                Key(
                    about["range"],
                    about["help"],
                    about.get("required", False),
                    about.get("each"),
                    default_of(field),
                ),
            )
        elif dataclasses.is_dataclass(field.type):  # Settings that kinds share.
            yield from _keys(cast(type, field.type), path)


def default_of(field: dataclasses.Field) -> Any:
    """MISSING for a field without."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def defaults(settings: type) -> dict[str, Any]:
    """The nested mapping that a config of defaults is, with the keys in the order of the fields."""
    return {
        field.name: defaults(field.metadata["section"])
        if "section" in field.metadata
        else default_of(field)
        for field in dataclasses.fields(settings)
    }


def several_types(settings: type) -> set[str]:
    """The keys of a dataclass whose values have more than one type."""
    hints = get_type_hints(settings)
    return {name for name, hint in hints.items() if isinstance(hint, types.UnionType)}


def read(name: str, config: Mapping[str, Any] | None, settings: type) -> Any:
    """The section `name` of a config as an instance of its dataclass; lists become tuples.

    Raises:
      ConfigError: as `check`.
    """
    given = {} if config is None else as_dict(f"config.{name}", config)
    missing = list(_missing(given, settings, f"{name}."))
    if missing:
        raise ConfigError(f"the config lacks {', '.join(missing)}")
    wrong = [
        *_unknown(given, settings, f"{name}."),
        *_out_of_range(
            given, {f"{name}.{key}": k for key, k in keys_of(settings).items()}, f"{name}."
        ),
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def check(config: Mapping[str, Any], settings: type, *, others: bool = False) -> None:
    """Compares a config with its dataclass.

    Args:
      config: a nested mapping or ConfigDict.
      settings: the dataclass.
      others: the config has keys beside those of `settings` that are for somebody else.

    Raises:
      ConfigError: keys that are missing; or keys that are unknown or out of their range, a line
        each, with value and range.
    """
    missing = list(_missing(config, settings, ""))
    if missing:
        raise ConfigError(
            f"the config lacks {', '.join(missing)}; experiments/configs/common.py has every key"
        )
    wrong = [*([] if others else _unknown(config, settings, ""))]
    for field in dataclasses.fields(settings):
        if "section" in field.metadata and field.name in config:
            value, inner = config[field.name], field.metadata["section"]
            if hasattr(value, "items"):
                wrong += _unknown(value, inner, f"{field.name}.")
            else:
                wrong.append(f"config.{field.name}={value!r} is no section of settings")
    wrong += _out_of_range(config, keys_of(settings), "")
    if wrong:
        raise ConfigError("\n".join(wrong))


def _missing(config: Any, settings: type, path: str) -> Iterator[str]:
    for field in dataclasses.fields(settings):
        name, about = f"{path}{field.name}", field.metadata
        if field.name not in config:
            if about.get("required"):
                yield name
        elif "section" in about and hasattr(config[field.name], "items"):
            yield from _missing(config[field.name], about["section"], f"{name}.")


def _unknown(config: Any, settings: type, path: str) -> list[str]:
    known = [field.name for field in dataclasses.fields(settings)]
    return [
        f"unknown config key config.{path}{key}; known: {', '.join(sorted(known))}"
        for key in sorted(set(config) - set(known))
    ]


def _out_of_range(config: Any, keys: Mapping[str, Key], path: str) -> Iterator[str]:
    for name, value in config.items():
        key = keys.get(f"{path}{name}")
        if not hasattr(value, "items"):
            if key and not key.range.holds(value):
                yield f"config.{path}{name}={value!r} {_fault(key.range)}"
        elif key is None:
            yield from _out_of_range(value, keys, f"{path}{name}.")
        elif key.each is not None:
            yield from _out_of_range(
                value, _inner(key.each, f"{path}{name}", value), f"{path}{name}."
            )


def _inner(each: Any, path: str, value: Mapping[str, Any]) -> dict[str, Key]:
    """The keys of a mapping with free names."""
    if not isinstance(each, type):
        return {f"{path}.{name}": Key(each, "", False, None, None) for name in value}
    return {f"{path}.{name}.{k}": key for name in value for k, key in keys_of(each).items()}


def _fault(range_: Any) -> str:
    if range_.text.startswith("at least"):
        return f"must be {range_.text}"
    if range_.text.startswith("one of"):
        return f"is not {range_.text}"
    return f"is out of range; give {range_.text}"


def describe(settings: type) -> str:
    """Every key for people, a line each: what it may be, and what it is for."""
    keys = keys_of(settings)
    width = max(map(len, keys))
    return "\n".join(
        f"  {name:<{width}}  {key.help} ({key.range.text})" for name, key in keys.items()
    )
