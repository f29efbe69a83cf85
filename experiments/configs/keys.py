"""Every key of a config: what the loop, the model, its loss and the loader read, joined in one place.

Each key is a field of the dataclass that reads it, with its default, its range and what it is for;
`python -m experiments.train --config=FILE --help` prints them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_pipelines.loading.options import LoaderOptions, plain_options
from flexlam_jax.config.ranges import TEXT
from flexlam_jax.config.settings import check, section, setting
from flexlam_jax.models.lam import LamSettings
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.training.settings import RunSettings


@dataclasses.dataclass(frozen=True)
class TaskSettings(RunSettings):
    """What the binaries read of the config of any kind of model."""

    kind: str = setting("lam", range=TEXT, help="of the model; see experiments/tasks")
    compilation_cache: str = setting(
        "",
        range=TEXT,
        help='folder of compiled programs; "" for one in the work directory',
        required=True,
    )


@dataclasses.dataclass(frozen=True)
class LamConfig(TaskSettings):
    """The config of a latent action model."""

    data: LoaderOptions = section(LoaderOptions, required=True)
    model: LamSettings = section(LamSettings, required=True)
    loss: LossSettings = section(LossSettings, required=True)


KINDS = {"lam": LamConfig}


def settings_of(config: Mapping[str, Any]) -> type:
    """The dataclass of a config's kind; of a kind from elsewhere, of what all kinds share."""
    return KINDS.get(config.get("kind", "lam"), TaskSettings)


def check_config(config: Mapping[str, Any]) -> None:
    """What can be said of the config of a run before devices, data and folders are touched.

    The keys of a kind that is not of this package are checked by the one who reads them.

    Raises:
      ConfigError: keys that are missing, unknown, or out of their ranges.
    """
    settings = settings_of(config)
    if settings is TaskSettings:
        check(config, settings, others=True)
    else:
        check(_plain(config), settings)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as its readers see it: a single name in `data` is a list of one."""
    plain = dict(config.items())
    if hasattr(plain.get("data"), "items"):
        plain["data"] = plain_options(plain["data"])
    return plain
