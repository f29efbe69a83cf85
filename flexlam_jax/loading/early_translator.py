"""Translators of early versions: config.json with all fields, and params/ without steps.

The file holds a fingerprint of the weights and a hash of its other fields; the first ones neither.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from flexlam_jax.checkpoints import report as checkpoint_report
from flexlam_jax.checkpoints.files import FOLDER
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import reachable
from flexlam_jax.typed_json import as_type, content_hash, read_json

_AGAIN = "restore it, or make the translator again with experiments.align_translator"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Proof:
    fingerprint: int | None = None
    sha256: str | None = None


def is_one(path: Any) -> bool:
    """Whether the folder holds a translator that an early version wrote."""
    folder = reachable(path, CheckpointError)
    file = folder / "config.json"
    if (folder / FOLDER).exists() or not (file.exists() and (folder / "params").exists()):
        return False
    values = read_json(file, Any, remedy=_AGAIN, error=CheckpointError)
    return isinstance(values, dict) and values.get("kind") == "translator"


def config_of(path: Any) -> dict[str, Any]:
    """The fields of config.json. Raises CheckpointError: they are not those that were written."""
    file = epath.Path(path) / "config.json"
    values = read_json(file, dict[str, Any], remedy=_AGAIN, error=CheckpointError)
    proof = as_type(values, _Proof, where=str(file), remedy=_AGAIN, error=CheckpointError)
    if proof.sha256 not in (None, content_hash(values)):
        raise CheckpointError(
            f"{file} is damaged: its fields are not those that were written; {_AGAIN}"
        )
    return values


def restore(
    path: Any, abstract: Callable[[dict[str, Any]], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(variables, config); as `checkpoints.params.restore_params`, in arguments and errors."""
    config, folder = config_of(path), epath.Path(path)
    expected = abstract(config)
    try:
        with quiet_libraries(), ocp.StandardCheckpointer() as checkpointer:
            params = (folder if "://" in str(folder) else folder.resolve()) / "params"
            variables = checkpointer.restore(params, expected)
    except Exception as error:  # Orbax raises whatever a damaged file makes its readers raise.
        raise CheckpointError(
            f"the translator in {path} cannot be read ({checkpoint_report.reason(error)}); {_AGAIN}"
        ) from error
    if "fingerprint" not in config:
        _log.info("%s was written by an early version: its weights cannot be verified", path)
    elif fingerprint(jax.tree.map(jnp.asarray, variables)) != config["fingerprint"]:
        raise CheckpointError(
            f"the weights of the translator in {path} are damaged: they do not match their "
            f"fingerprint in config.json; {_AGAIN}"
        )
    return variables, config
