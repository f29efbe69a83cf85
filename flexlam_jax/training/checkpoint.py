"""Orbax checkpoints: asynchronous, verified, and readable without optimizer or training code.

    checkpoints/<step>/params/     {"params": ..., **extra}      (all that inference needs)
    checkpoints/<step>/ema/        the same with averaged parameters, when EMA is on
    checkpoints/<step>/optimizer/  {"step", "opt_state"}
    checkpoints/<step>/data/       JSON, position of the data iterator
    checkpoints/<step>/config/     JSON, the run's config
    checkpoints/<step>/meta/       JSON, format version and a fingerprint of every array item

A step appears under its final name only after everything in it is written, so that a kill leaves no
half step. Restored arrays must match their fingerprint; a step that does not is set aside, loudly.
With several processes each writes its shards, process 0 the rest and the final name; a step counts
as damaged, for all, when it is for one.
"""

from collections.abc import Callable, Mapping
import json
import logging
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
import orbax.checkpoint as ocp

from flexlam_jax.errors import CheckpointError
from flexlam_jax.training import checkpoint_report, distributed
from flexlam_jax.training.fingerprint import fingerprint
from flexlam_jax.training.state import TrainState

_log = logging.getLogger(__name__)

FORMAT = 1
FOLDER = "checkpoints"
_ARRAYS = ("params", "ema", "optimizer")
_JSONS = ("data", "config", "meta")


def _items(state: TrainState) -> dict[str, Any]:
    """The array items of a checkpoint; works on abstract states too."""
    items = {"params": {"params": state.params, **state.extra},
             "optimizer": {"step": state.step, "opt_state": state.opt_state}}
    if state.ema is not None:
        items["ema"] = {"params": state.ema, **state.extra}
    return items


class Checkpoints:
    """Saves and restores the whole of a run. A context manager: leaving it finishes all writes."""

    def __init__(self, directory: Any, *, keep: int = 3):
        """Args: `directory` of the step folders, made when missing; `keep` the newest steps."""
        self._directory = epath.Path(directory)
        self._manager = _manager(self._directory, keep=keep)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: Any) -> None:
        # Finishing writes needs every process. Where one fails alone the others are not here; a
        # run that diverged is the error that all have at the same step.
        if kind is None or distributed.process_count() == 1 or kind is FloatingPointError:
            self._manager.close()

    def save(self, state: TrainState, data: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Copies `state` off the device and writes it in the background.

        Blocks only for the copy (the caller may donate `state` afterwards). Errors of an earlier
        background write are raised here or by `check`.
        """
        items = _items(state)
        meta = {"format": FORMAT,
                "fingerprints": {name: fingerprint(tree) for name, tree in items.items()}}
        self._manager.save(int(jax.device_get(state.step)), force=True, args=ocp.args.Composite(
            **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
            data=ocp.args.JsonSave(dict(data)), config=ocp.args.JsonSave(dict(config)),
            meta=ocp.args.JsonSave(meta)))

    def check(self) -> None:
        """Raises the error of a failed background write, if there is one."""
        self._manager.check_for_errors()

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def restore_latest(self, abstract: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """(state, data position) of the newest good step, or None when there is no step at all.

        Args:
          abstract: ShapeDtypeStructs with shardings; the state is restored straight into them,
            whatever mesh it was saved from.

        Raises:
          CheckpointError: a step of another architecture (listing the parameters that differ), of
            a newer format, or no readable step at all.
        """
        failures: dict[int, str] = {}
        # Process 0 may just have removed what a kill left; all must try the same steps.
        steps = json.loads(distributed.broadcast("steps", json.dumps(self.steps())))
        for step in reversed(steps):
            restored, problem = self._attempt(step, abstract)
            if problem:
                failures[step] = problem
                continue
            self._set_aside(failures, good=step)
            return restored
        if failures:
            raise CheckpointError(checkpoint_report.screen(
                f"no step in {self._directory} can be restored; nothing was changed there:",
                [f"  step {step}: {reason}" for step, reason in failures.items()],
                remedy="Check that the storage is reachable, or start in another work directory."))
        return None

    def _attempt(self, step: int, abstract: TrainState
                 ) -> tuple[tuple[TrainState, dict[str, Any]] | None, str]:
        """(state and position, "") or (None, what is wrong with the step), the same everywhere.

        All processes agree after reading, because checking fingerprints takes all of them.
        """
        trees, problem = _problem(lambda: _read(self._directory, step, abstract))
        problem = _agreed(f"read step {step}", problem)
        if not problem:
            _, problem = _problem(lambda: _verify({name: trees[name] for name in _items(abstract)},
                                                  trees["meta"]))
            problem = _agreed(f"verified step {step}", problem)
        return (None, problem) if problem else (_state(trees), "")

    def _set_aside(self, failures: Mapping[int, str], good: int) -> None:
        """Moves damaged steps away, so that the run can save those steps again.

        Only called once an older step was restored: were all unreadable, the storage is a likelier
        culprit than the files.
        """
        damaged = epath.Path(f"{self._directory}.damaged")
        for step, reason in failures.items():
            _log.error("CHECKPOINT DAMAGED: step %d in %s cannot be restored (%s). Moved to %s; "
                       "FALLING BACK TO STEP %d.", step, self._directory, reason, damaged, good)
            if jax.process_index() == 0:
                damaged.mkdir(parents=True, exist_ok=True)
                moves = sum(child.name.split(".")[0] == str(step) for child in damaged.iterdir())
                (self._directory / str(step)).rename(damaged / f"{step}.{moves}")
        if failures:
            multihost_utils.sync_global_devices("damaged steps set aside")
            self._manager.reload()


def _problem(action: Callable[[], Any]) -> tuple[Any, str]:
    """(result, "") or (None, what went wrong); a wrong architecture or format is no damage."""
    try:
        return action(), ""
    except (CheckpointError, distributed.ProcessLost):
        raise
    except Exception as error:  # Whatever a damaged file makes Orbax raise.
        return None, f"{type(error).__name__}: {checkpoint_report.first_line(error)}"


def _read(directory: epath.Path, step: int, abstract: TrainState) -> dict[str, Any]:
    """{item: what is saved of it}, unverified."""
    items = _items(abstract)
    with _manager(directory, reading=True) as manager:
        meta = _read_meta(manager, step, directory)
        checkpoint_report.check_items(manager.item_metadata(step), step, items,
                                      meta["fingerprints"], directory)
        restored = manager.restore(step, args=ocp.args.Composite(
            **{name: ocp.args.StandardRestore(tree) for name, tree in items.items()},
            data=ocp.args.JsonRestore()))
    return {**{name: restored[name] for name in (*items, "data")}, "meta": meta}


def _agreed(name: str, problem: str) -> str:
    """The problem of the first process that has one."""
    problems = distributed.share(name, problem)
    return min(problems.items())[1] if problems else ""


def _state(trees: Mapping[str, Any]) -> tuple[TrainState, dict[str, Any]]:
    extra = dict(trees["params"])
    params = extra.pop("params")
    return TrainState(
        step=trees["optimizer"]["step"], params=params, extra=extra,
        opt_state=trees["optimizer"]["opt_state"],
        ema=trees["ema"]["params"] if "ema" in trees else None), dict(trees["data"])


def checkpoint_folder(path: Any) -> epath.Path:
    """The folder of step folders, given it or the work directory that holds it.

    Raises:
      CheckpointError: when there is neither.
    """
    path = epath.Path(path)
    for folder in (path / FOLDER, path):
        if folder.exists() and any(child.name.isdigit() for child in folder.iterdir()):
            return epath.Path(folder).resolve() if "://" not in str(folder) else folder
    raise CheckpointError(
        f"no checkpoint in {path}: expected a work directory with {FOLDER}/<step>/, or that "
        "folder. Was the run stopped before its first checkpoint (config.checkpoint.every)?")


def restore_params(path: Any, abstract: Any = None, step: int | None = None, *,
                   prefer_ema: bool = True) -> tuple[dict[str, Any], dict[str, Any], int]:
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
    with _manager(folder, reading=True) as manager:
        steps = sorted(manager.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(f"no step {step} in {folder}; it has {sorted(steps)}.")
        for number in [step] if step is not None else steps:
            try:
                return _restore_params(manager, folder, number, abstract, prefer_ema)
            except CheckpointError:
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {checkpoint_report.first_line(error)}"
                _log.error("CHECKPOINT DAMAGED: step %d in %s cannot be read (%s).", number, folder,
                           reason)
    raise CheckpointError(f"no readable checkpoint in {folder} (tried {step or steps}): {reason}")


def _restore_params(manager, folder, step, abstract, prefer_ema):
    meta = _read_meta(manager, step, folder)
    config = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore())).config
    name = "ema" if prefer_ema and "ema" in meta["fingerprints"] else "params"
    saved = manager.item_metadata(step)[name]
    if callable(abstract):
        try:
            abstract = abstract(config)
        except ValueError as error:  # Not damage: this program cannot build that config.
            raise CheckpointError(f"step {step} in {folder} has a config that this program cannot "
                                  f"build: {error}") from error
    if abstract is not None:
        checkpoint_report.check_items(manager.item_metadata(step), step, {name: abstract},
                                      meta["fingerprints"], folder)
    tree = manager.restore(step, args=ocp.args.Composite(**{
        name: ocp.args.StandardRestore(_placed(abstract or saved.tree))}))[name]
    _verify({name: tree}, meta)
    return tree, config, step


def _placed(abstract: Any) -> Any:
    """Leaves without a sharding go to the first local device; Orbax would take the saved one."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def place(leaf):
        sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding or here)

    return jax.tree.map(place, abstract)


def _manager(directory: epath.Path, *, keep: int | None = None, reading: bool = False
             ) -> ocp.CheckpointManager:
    """`reading` changes nothing in the directory (Orbax's own read_only warns on every use), and is
    each process's own affair: Orbax would wait without end for a process that could not read.
    """
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"reader{jax.process_index()}")
    handlers = {name: ocp.StandardCheckpointHandler() for name in _ARRAYS}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in _JSONS}
    if not reading:
        directory.mkdir(parents=True, exist_ok=True)  # Orbax makes only the last folder itself.
    return ocp.CheckpointManager(
        directory, item_handlers=handlers,
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=False,
            multiprocessing_options=alone if reading else ocp.options.MultiprocessingOptions(),
            cleanup_tmp_directories=not reading,
            save_root_metadata=not reading, enable_async_checkpointing=not reading))


def _read_meta(manager: ocp.CheckpointManager, step: int, folder: Any) -> dict[str, Any]:
    meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
    if meta["format"] > FORMAT:
        raise CheckpointError(
            f"step {step} in {folder} has checkpoint format {meta['format']}, this program reads "
            f"up to {FORMAT}; update flexlam_jax.")
    return meta


def _verify(items: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    for name, tree in items.items():
        if fingerprint(tree) != meta["fingerprints"][name]:
            raise OSError(f"item {name!r} does not match its fingerprint")
