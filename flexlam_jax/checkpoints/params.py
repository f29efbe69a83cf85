"""Reads a model out of a checkpoint: no optimizer, no training code, nothing changed on disk."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from etils import epath

from flexlam_jax.checkpoints import report as checkpoint_report
from flexlam_jax.checkpoints.files import FOLDER, item_metadata, manager, read_meta, verify
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.checkpoints.references import Reference, places, read_frozen, references_in
from flexlam_jax.checkpoints.subtrees import merge, split, subtree, with_subtree, within
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import reachable
from flexlam_jax.typed_json import content_hash

_log = logging.getLogger(__name__)
T = TypeVar("T")


def has_checkpoint(path: Any) -> bool:
    """Whether a step lies in the folder, or work directory, at `path`."""
    path = reachable(path, CheckpointError)
    return any(map(_has_steps, (path / FOLDER, path)))


def _has_steps(folder: epath.Path) -> bool:
    return folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir())


def checkpoint_folder(path: Any) -> epath.Path:
    """The folder of step folders, given it or the work directory that holds it.

    Raises:
      CheckpointError: when there is neither.
    """
    path = reachable(path, CheckpointError)
    for folder in (path / FOLDER, path):
        if _has_steps(folder):
            return epath.Path(folder).resolve() if "://" not in str(folder) else folder
    raise CheckpointError(
        f"no checkpoint in {path}: expected a work directory with {FOLDER}/<step>/, or that "
        "folder. Was the run stopped before its first checkpoint (config.checkpoint.every)?"
    )


def restore_params(
    path: Any,
    abstract: Any = None,
    step: int | None = None,
    *,
    prefer_ema: bool = True,
    beside: Sequence[str] = (),
    without: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Reads what inference needs and nothing else: no optimizer, no training code.

    Parameters that the checkpoint holds by reference (see references.py) are read from where they
    lie and verified.

    Args:
      path: work directory or its checkpoints folder, local or on a bucket.
      abstract: tree {"params": ..., **extra} of ShapeDtypeStructs to check against and restore
        into (into their shardings, or the first local device without), or a function of the
        config that returns it. None takes whatever was saved.
      step: the step to read; None takes the newest that is undamaged, warning about others.
      prefer_ema: take the averaged parameters where the run kept them.
      beside: names of subtrees of the parameters, as "heads", of which the checkpoint may hold more
        than `abstract` expects; what it does is taken as it was saved.
      without: paths of parameters that the checkpoint may hold by reference and the caller does not
        need: the run that they came from is not looked for.

    Returns:
      (variables {"params": ..., **extra}, config, step).

    Raises:
      CheckpointError: no such step, a damaged one, or one of another architecture.
    """
    return _newest(
        path,
        step,
        lambda files, folder, number: _restore_params(
            files, folder, number, abstract, prefer_ema, beside, without
        ),
        tell=True,
    )


def saved_config(path: Any, step: int | None = None) -> dict[str, Any]:
    """The config that a step holds, undamaged; no array is read.

    Args:
      step: None takes the newest step whose config is undamaged.

    Raises:
      CheckpointError: no such step, or no readable one.
    """
    return _newest(path, step, lambda files, folder, number: _config(files, folder, number)[0])


def frozen_places(path: Any, step: int | None, part: str) -> list[str]:
    """Where the runs may lie that a checkpoint holds the parameters at path `part` of by reference.

    Raises:
      CheckpointError: as `saved_config`.
    """
    folder = checkpoint_folder(path)
    _, meta = _newest(path, step, _config)
    held = [one for one in references_in(meta, folder) if within(one.to, [part])]
    return list(dict.fromkeys(place for one in held for place in places(one, folder)))


def saved_fingerprint(path: Any, step: int) -> int:
    """`fingerprint` of what `restore_params` gives of a step, all of it.

    It lies beside the arrays, which were verified by it when somebody read them; they are read
    again only where the checkpoint holds some of them by reference.

    Raises:
      CheckpointError: as `restore_params`.
    """
    _, meta = _newest(path, step, _config)
    if meta.get("frozen"):
        return fingerprint(restore_params(path, step=step)[0])
    return int(meta["fingerprints"][_item(meta)])


def _newest(
    path: Any,
    step: int | None,
    read: Callable[[ocp.CheckpointManager, epath.Path, int], T],
    *,
    tell: bool = False,
) -> T:
    """`read` of the step, or of the newest that it does not fail for; `tell` logs which it did."""
    folder = checkpoint_folder(path)
    with quiet_libraries(), manager(folder, reading=True) as files:
        steps = sorted(files.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(f"no step {step} in {folder}; it has {sorted(steps)}.")
        for number in [step] if step is not None else steps:
            try:
                return read(files, folder, number)
            except CheckpointError:
                raise
            except Exception as error:  # Whatever a damaged file makes Orbax raise.
                reason = checkpoint_report.reason(error)
                if step is None and tell:
                    _log.error(
                        "CHECKPOINT DAMAGED: step %d in %s cannot be read (%s).",
                        number,
                        folder,
                        reason,
                    )
    raise CheckpointError(f"no readable checkpoint in {folder} (tried {step or steps}): {reason}")


def _config(
    files: ocp.CheckpointManager, folder: epath.Path, step: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, meta) of a step; raises OSError for a config that is not the one that was saved."""
    meta = read_meta(files, step, folder)
    config = files.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore())).config
    if meta.get("config_sha256", content_hash(config)) != content_hash(config):  # Early: none.
        raise OSError("item 'config' does not match its hash")
    return config, meta


def _item(meta: dict[str, Any]) -> str:
    """Averaged parameters where the run kept them."""
    return "ema" if "ema" in meta["fingerprints"] else "params"


def _restore_params(files, folder, step, abstract, prefer_ema, beside, without):
    config, meta = _config(files, folder, step)
    name = _item(meta) if prefer_ema else "params"
    saved = item_metadata(folder, step, name)
    if callable(abstract):
        try:
            abstract = abstract(config)
        except ValueError as error:  # Not damage: this program cannot build that config.
            raise CheckpointError(
                f"step {step} in {folder} has a config that this program cannot build: {error}"
            ) from error
    references = references_in(meta, f"step {step} in {folder}")
    references = tuple(one for one in references if not within(one.to, without))
    own, elsewhere = _by_place(abstract, references)
    if own is not None:
        own = _with_collections(_with_more(own, saved.tree, beside), saved.tree, without)
        checkpoint_report.check_items(
            {name: saved}, step, {name: own}, meta["fingerprints"], folder
        )
    tree = files.restore(
        step,
        args=ocp.args.Composite(**{name: ocp.args.StandardRestore(_placed(own or saved.tree))}),
    )[name]
    verify({name: tree}, meta)
    if references:
        frozen = read_frozen(references, folder, restore_params)
        if abstract is not None:
            frozen = _as_expected(frozen, elsewhere, step, folder)
        tree = {**tree, "params": merge(tree.get("params"), frozen)}
    return tree, config, step


def _with_more(own: Any, saved: Any, tops: Sequence[str]) -> Any:
    """The expected tree with what was saved beside it under `tops`."""
    params = own["params"]
    for top in tops:
        more = (subtree(saved, f"params/{top}") or {}).items()
        for name, part in more:
            if subtree(params, f"{top}/{name}") is None:
                params = with_subtree(params, f"{top}/{name}", part)
    return {**own, "params": params}


def _with_collections(own: Any, saved: Any, paths: Sequence[str]) -> Any:
    """The expected tree with what other collections than the parameters hold at `paths`."""
    for collection in saved.keys() - {"params"}:
        for path in paths:
            part = subtree(saved[collection], path)
            if part is not None and subtree(own.get(collection), path) is None:
                own = with_subtree(own, f"{collection}/{path}", part)
    return own


def _by_place(abstract: Any, references: tuple[Reference, ...]) -> tuple[Any, Any]:
    """(what the checkpoint itself holds, parameters that it refers to) of the expected tree."""
    if abstract is None or not references:
        return abstract, None
    paths = [reference.to for reference in references]
    own, frozen = split(abstract["params"], lambda path: within(path, paths))
    return {**abstract, "params": own or {}}, frozen


def _as_expected(params: Any, expected: Any, step: int, folder: epath.Path) -> Any:
    """The parameters where `expected` wants them. Raises CheckpointError for others."""
    lines = checkpoint_report.differences("frozen", params, expected)
    if lines:
        title = f"step {step} in {folder} was saved by another architecture:"
        raise CheckpointError(checkpoint_report.screen(title, lines))
    return jax.tree.map(lambda x, to: jax.device_put(x, to.sharding), params, _placed(expected))


def _placed(abstract: Any) -> Any:
    """Leaves without a sharding go to the first local device; Orbax would take the saved one."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def place(leaf):
        sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding or here)

    return jax.tree.map(place, abstract)
