"""What runs with other models inside their loss share: parameters of their checkpoints, frames of one
size."""

from collections.abc import Mapping
from typing import Any

from flexlam_jax.errors import ConfigError


def freeze_part(config: Any, name: str, entry: Mapping[str, Any]) -> None:
    """`start_part`, and the run does not train these parameters; raises as that."""
    start_part(config, name, entry)
    config.frozen = (*(one for one in config.get("frozen") or () if one != name), name)


def start_part(config: Any, name: str, entry: Mapping[str, Any]) -> None:
    """Writes into the config that the run takes parameters from `entry`, of `init_from`; config.<name>
    says where they lie.

    Raises:
      ConfigError: the config takes other parameters under that name.
    """
    start = dict(config.get("init_from") or {})
    if name in start and dict(start[name]) != entry:
        raise ConfigError(
            f"config.init_from.{name}={dict(start[name])}: config.{name} decides where the "
            f"model comes from; leave config.init_from.{name} out"
        )
    config.init_from = {**start, name: dict(entry)}


def frames_for(what: str, frame_shape: tuple[int, int, int], data: Any) -> dict[str, int]:
    """Loader options that give frames of the size that the model `what` reads.

    Raises:
      ConfigError: the `data` section asks for another one.
    """
    height, width, _ = frame_shape
    size, given = height if height == width else 0, data.get("image_size", 0)
    if given and given != size:
        raise ConfigError(
            f"config.data.image_size={given}, but the frozen {what} reads {height}x{width}; leave "
            "out config.data.image_size"
        )
    return {"image_size": size}
