"""Reads a model out of a checkpoint: no optimizer, no training code, nothing changed on disk."""

import logging
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from flexlam_jax.checkpoints import report as checkpoint_report
from flexlam_jax.checkpoints.files import FOLDER, manager, read_meta, verify
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import reachable
from flexlam_jax.typed_json import content_hash

_log = logging.getLogger(__name__)


def checkpoint_folder(path: Any) -> epath.Path:
    """The folder of step folders, given it or the work directory that holds it.

    Raises:
      CheckpointError: when there is neither.
    """
    path = reachable(path, CheckpointError)
    for folder in (path / FOLDER, path):
        if folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir()):
            return epath.Path(folder).resolve() if "://" not in str(folder) else folder
    raise CheckpointError(
        f"no checkpoint in {path}: expected a work directory with {FOLDER}/<step>/, or that "
        "folder. Was the run stopped before its first checkpoint (config.checkpoint.every)?"
    )


def restore_params(
    path: Any, abstract: Any = None, step: int | None = None, *, prefer_ema: bool = True
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Reads what inference needs and nothing else: no optimizer, no training code.

    Args:
      path: work directory or its checkpoints folder, local or on a bucket.
      abstract: tree {"params": ..., **extra} of ShapeDtypeStructs to check against and restore
        into (into their shardings, or the first local device without), or a function of the
        config that returns it. None takes whatever was saved.
      step: the step to read; None takes the newest that is undamaged, warning about others.
      prefer_ema: take the averaged parameters where the run kept them.

    Returns:
      (variables {"params": ..., **extra}, config, step).

    Raises:
      CheckpointError: no such step, a damaged one, or one of another architecture.
    """
    folder = checkpoint_folder(path)
    with quiet_libraries(), manager(folder, reading=True) as files:
        steps = sorted(files.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(f"no step {step} in {folder}; it has {sorted(steps)}.")
        for number in [step] if step is not None else steps:
            try:
                return _restore_params(files, folder, number, abstract, prefer_ema)
            except CheckpointError:
                raise
            except Exception as error:
                reason = checkpoint_report.reason(error)
                if step is None:
                    _log.error(
                        "CHECKPOINT DAMAGED: step %d in %s cannot be read (%s).",
                        number,
                        folder,
                        reason,
                    )
    raise CheckpointError(f"no readable checkpoint in {folder} (tried {step or steps}): {reason}")


def _restore_params(files, folder, step, abstract, prefer_ema):
    meta = read_meta(files, step, folder)
    config = files.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore())).config
    if meta.get("config_sha256", content_hash(config)) != content_hash(config):  # Early: none.
        raise OSError("item 'config' does not match its hash")
    name = "ema" if prefer_ema and "ema" in meta["fingerprints"] else "params"
    saved = files.item_metadata(step)[name]
    if callable(abstract):
        try:
            abstract = abstract(config)
        except ValueError as error:  # Not damage: this program cannot build that config.
            raise CheckpointError(
                f"step {step} in {folder} has a config that this program cannot build: {error}"
            ) from error
    if abstract is not None:
        checkpoint_report.check_items(
            files.item_metadata(step), step, {name: abstract}, meta["fingerprints"], folder
        )
    tree = files.restore(
        step,
        args=ocp.args.Composite(
            **{name: ocp.args.StandardRestore(_placed(abstract or saved.tree))}
        ),
    )[name]
    verify({name: tree}, meta)
    return tree, config, step


def _placed(abstract: Any) -> Any:
    """Leaves without a sharding go to the first local device; Orbax would take the saved one."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def place(leaf):
        sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding or here)

    return jax.tree.map(place, abstract)
