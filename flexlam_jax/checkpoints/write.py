"""Writes a model that no training loop made, as a checkpoint like all others.

    config.json               the config, for people
    checkpoints/0/params/     the variables
    checkpoints/0/config/     JSON, the config, with `kind`
    checkpoints/0/meta/       JSON, format version, fingerprint of the variables, hash of the config

`checkpoints.params` reads it; see training/checkpoint.py for what a run adds.
"""

import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from flexlam_jax.checkpoints.files import FOLDER, FORMAT, manager
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.files import cannot_write, storage_error, write_atomically
from flexlam_jax.output_folder import Kind, check_content
from flexlam_jax.typed_json import content_hash

STEP = 0  # Such a model has one.


def save_model(
    path: Any, kind: Kind, variables: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Writes a folder that `flexlam_jax.load` reads; the step folder, written last, completes it.

    Args:
      path: folder, local or on a bucket, new or empty or with a model of this kind, which is
        replaced.
      kind: what the folder holds; its name becomes `config.kind`.
      variables: {"params": ..., **other collections} of arrays.
      config: JSON-able; everything that a reader needs beside the variables.

    Raises:
      WorkdirError: the folder holds something else; nothing is changed there.
      UserError: it cannot be written to.
    """
    path = epath.Path(path)
    check_content(path, kind)
    values = json.loads(json.dumps({"kind": kind.name, **config}))
    write_atomically(path / "config.json", json.dumps(values, indent=2) + "\n")
    try:
        _save_step(path, dict(variables), values)
    except Exception as error:  # Orbax raises whatever its writers raise.
        if not isinstance(error, OSError) and storage_error(error) is None:
            raise
        raise cannot_write(path, error, what=kind.noun) from error


def _save_step(path: epath.Path, variables: dict[str, Any], config: dict[str, Any]) -> None:
    variables = jax.tree.map(jnp.asarray, variables)
    meta = {
        "format": FORMAT,
        "config_sha256": content_hash(config),
        "fingerprints": {"params": fingerprint(variables)},
    }
    folder = path / FOLDER
    with quiet_libraries(), manager(folder if "://" in str(path) else folder.resolve()) as files:
        if STEP in files.all_steps():
            files.delete(STEP)
        files.save(
            STEP,
            force=True,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(variables),
                config=ocp.args.JsonSave(config),
                meta=ocp.args.JsonSave(meta),
            ),
        )
        files.wait_until_finished()
