"""Strict reading of model configs: an unknown key is an error that names it and the valid ones."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from flexlam_jax.errors import ConfigError


def as_dict(section: str, config: Any) -> dict[str, Any]:
    """Mapping or ml_collections.ConfigDict -> plain dict; raises ConfigError for anything else."""
    if isinstance(config, Mapping):
        return dict(config)
    if hasattr(config, "to_dict"):
        return dict(config.to_dict())
    raise ConfigError(f"{section} must be a mapping of settings, not {config!r}")


def check_keys(section: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Raises ConfigError naming every key of `given` that is not in `valid`."""
    unknown = sorted(set(given) - set(valid))
    if unknown:
        keys = ", ".join(f"{section}.{key}" for key in unknown)
        raise ConfigError(f"unknown config key {keys}; valid keys of {section}: {sorted(valid)}")


def check_kind(section: str, config: Any, kinds: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Splits {'kind': name, **rest} into (name, rest); raises ConfigError for an unknown kind."""
    rest = as_dict(section, config)
    kind = rest.pop("kind", None)
    if kind not in kinds:
        raise ConfigError(f"{section}.kind={kind!r} is unknown; choose one of {sorted(kinds)}")
    return kind, rest


def strict(section: str, config: Any, kinds: Mapping[str, type]) -> tuple[str, dict[str, Any]]:
    """Reads a `kind` section against dataclasses; returns (kind, settings with defaults)."""
    kind, given = check_kind(section, config, kinds)
    settings = dataclasses.asdict(kinds[kind]())
    check_keys(section, given, settings)
    return kind, {**settings, **given}


def build_kind(section: str, config: Any, kinds: Mapping[str, type], **derived) -> Any:
    """Builds the Linen module that `kind` names, with the rest of the section as its fields.

    A field that is a dataclass of settings itself is given by keys of the section too, one for each
    of its fields. Fields given in `derived` come from elsewhere in the config and are no keys of
    the section; those that the module does not have are dropped, so that all kinds of one role can
    be built by one call.

    Raises ConfigError for an unknown kind, an unknown key and a missing required key.
    """
    kind, given = check_kind(section, config, kinds)
    fields = {f.name: f for f in dataclasses.fields(kinds[kind]) if f.name not in _FLAX_FIELDS}
    groups = {name: f.type for name, f in fields.items() if dataclasses.is_dataclass(f.type)}
    plain = {name: f for name, f in fields.items() if name not in groups}
    inner = {f.name: f for group in groups.values() for f in dataclasses.fields(group)}
    check_keys(section, given, [name for name in {**plain, **inner} if name not in derived])
    # JSON knows no tuples; modules must be hashable and equal however their config was stored.
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()} | derived
    known = {name: given[name] for name in given if name in plain or name in inner}
    missing = [name for name, f in {**plain, **inner}.items() if name not in known and _required(f)]
    if missing:
        raise ConfigError(f"{section} (kind {kind!r}) lacks the keys {missing}")
    arguments = {name: value for name, value in known.items() if name in plain}
    for name, group in groups.items():
        own = {f.name for f in dataclasses.fields(group)}
        arguments[name] = group(**{key: value for key, value in known.items() if key in own})
    return kinds[kind](**arguments)


_FLAX_FIELDS = ("parent", "name")


def _required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING
