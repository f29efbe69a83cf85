"""Orbax checkpoints: asynchronous, verified, and readable without optimizer or training code.

    checkpoints/<step>/params/     {"params": ..., **extra}      (all that inference needs)
    checkpoints/<step>/ema/        the same with averaged parameters, when EMA is on
    checkpoints/<step>/optimizer/  {"step", "opt_state"}
    checkpoints/<step>/data/       JSON, position of the data iterator
    checkpoints/<step>/config/     JSON, the run's config
    checkpoints/<step>/meta/       JSON, format version, a fingerprint of every array item, what
                                   proves the other two JSONs, and where frozen parameters lie,
                                   which are in none of the items (checkpoints/references.py)

A step appears under its final name only after everything in it is written, so that a kill leaves no
half step. Restored arrays must match their fingerprint; a step that does not is set aside, loudly.
With several processes each writes its shards, process 0 the rest and the final name; a step counts
as damaged, for all, when it is for one.

However a run ends, it loses at most `every` updates, although it does not wait while a step is
written: it saves twice as often, and no save begins before the write of the one before is complete.
"""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from flexlam_jax.checkpoints import report as checkpoint_report
from flexlam_jax.checkpoints.files import FORMAT, Keep, manager, read_meta, verify
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.checkpoints.references import Reference, references_in
from flexlam_jax.errors import CheckpointError
from flexlam_jax.files import cannot_write
from flexlam_jax.parallel import distributed
from flexlam_jax.training.frozen import restore_frozen
from flexlam_jax.training.state import TrainState
from flexlam_jax.typed_json import content_hash

_log = logging.getLogger(__name__)


def _items(state: TrainState) -> dict[str, Any]:
    """The array items of a checkpoint; works on abstract states too."""
    items = {
        "params": {"params": state.params, **state.extra},
        "optimizer": {"step": state.step, "opt_state": state.opt_state},
    }
    if state.ema is not None:
        items["ema"] = {"params": state.ema, **state.extra}
    return items


class Checkpoints:
    """Saves and restores the whole of a run. A context manager: leaving it finishes all writes."""

    def __init__(self, directory: Any, *, every: int = 1, keep: int = 3):
        """Opens `directory`, of the step folders; makes it when missing.

        Args:
          every: updates that a kill may cost at most; see `due`.
          keep: how many steps stay: the newest and, of those before, multiples of `every`.
        """
        self._directory, self._every = epath.Path(directory), every
        self.references: tuple[Reference, ...] = ()  # To the frozen parameters of what is saved.
        self._quiet = quiet_libraries()  # Their threads write while the caller trains.
        with quiet_libraries():
            self._manager = self._write(lambda: manager(self._directory, keep=Keep(keep, every)))

    def __enter__(self) -> "Checkpoints":
        self._quiet.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: Any) -> None:
        # Finishing writes needs every process. Where one fails alone the others are not here; a
        # run that diverged is the error that all have at the same step.
        if kind is None or distributed.process_count() == 1 or kind is FloatingPointError:
            self._write(self._manager.close)
        # Not after a failure, which threads that nobody waits for are still telling.
        self._quiet.__exit__(None, None, None)

    def due(self, step: int) -> bool:
        """Whether to save at `step`: at multiples of `every`, and halfway between them.

        A save begins when the write before it is complete. So when step n is about to be saved, all
        but the last save is on disk, and the last but one was `every` steps ago.
        """
        return step % self._every in (0, self._every // 2)

    def save(self, state: TrainState, data: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Copies `state` off the device and writes it in the background.

        Blocks until the write before is complete and for the copy: the caller may donate `state`
        afterwards. At every=1 there is no half, and it waits for its own write.

        Raises:
          CheckpointError: this write failed or the one before; see also `check`.
        """
        items = _items(state)
        meta = {
            "format": FORMAT,
            "data": dict(data),
            "config_sha256": content_hash(dict(config)),
            "fingerprints": {name: fingerprint(tree) for name, tree in items.items()},
        }
        if self.references:
            meta["frozen"] = [dataclasses.asdict(reference) for reference in self.references]
        args = ocp.args.Composite(
            **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
            data=ocp.args.JsonSave(dict(data)),
            config=ocp.args.JsonSave(dict(config)),
            meta=ocp.args.JsonSave(meta),
        )
        self._write(
            lambda: self._manager.save(int(jax.device_get(state.step)), force=True, args=args)
        )
        if self._every == 1:
            self._write(self._manager.wait_until_finished)

    def check(self) -> None:
        """Raises the CheckpointError of a background write that failed; does not wait for one."""
        if not self._manager.is_saving_in_progress():
            # Not check_for_errors: what that raises, the thread that removes old steps misses.
            self._write(self._manager.wait_until_finished)

    def _write(self, action: Callable[[], Any]) -> Any:
        """Full disks and vanished folders come as every kind of error from the libraries."""
        try:
            return action()
        except Exception as error:
            lost = distributed.lost_behind(error)
            if lost:
                raise distributed.ProcessLost(lost) from error
            if isinstance(error, jax.errors.JaxRuntimeError):
                raise  # A device.
            raise cannot_write(
                self._directory,
                error,
                kind=CheckpointError,
                what="a checkpoint",
                remedy="; the same command then continues from the newest complete step.",
            ) from error

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def restore_latest(self, abstract: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """(state, data position) of the newest good step, or None when there is no step at all.

        Args:
          abstract: ShapeDtypeStructs with shardings; the state is restored straight into them,
            whatever mesh it was saved from.

        Raises:
          CheckpointError: a step of another architecture (listing the parameters that differ), of
            a newer format, or no readable step at all; frozen parameters that are gone or changed.
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
            state, position, self.references = restored
            frozen = restore_frozen(self.references, self._directory, abstract.frozen)
            return dataclasses.replace(state, frozen=frozen), position
        if failures:
            raise CheckpointError(
                checkpoint_report.screen(
                    f"no step in {self._directory} can be restored; nothing was changed there:",
                    [f"  step {step}: {reason}" for step, reason in failures.items()],
                    remedy="Check that the storage is reachable, or start in another work directory.",
                )
            )
        return None

    def _attempt(
        self, step: int, abstract: TrainState
    ) -> tuple[tuple[TrainState, dict[str, Any], tuple[Reference, ...]] | None, str]:
        """(state, position and references, "") or (None, what is wrong), the same everywhere.

        All processes agree after reading, because checking fingerprints takes all of them.
        """
        with quiet_libraries():
            trees, problem = _problem(lambda: _read(self._directory, step, abstract))
        problem = _agreed(f"read step {step}", problem)
        if not problem:
            _, problem = _problem(lambda: _verify(trees, _items(abstract), step))
            problem = _agreed(f"verified step {step}", problem)
        if problem:
            return None, problem
        where = f"step {step} in {self._directory}"
        return (*_state(trees), references_in(trees["meta"], where)), ""

    def _set_aside(self, failures: Mapping[int, str], good: int) -> None:
        """Moves damaged steps away, so that the run can save those steps again.

        Only called once an older step was restored: were all unreadable, the storage is a likelier
        culprit than the files.
        """
        damaged = epath.Path(f"{self._directory}.damaged")
        for step, reason in failures.items():
            _log.error(
                "CHECKPOINT DAMAGED: step %d in %s cannot be restored (%s). Moved to %s; "
                "FALLING BACK TO STEP %d.",
                step,
                self._directory,
                reason,
                damaged,
                good,
            )
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
        return None, checkpoint_report.reason(error)


def _read(directory: epath.Path, step: int, abstract: TrainState) -> dict[str, Any]:
    """{item: what is saved of it}, unverified."""
    items = _items(abstract)
    with manager(directory, reading=True) as files:
        meta = read_meta(files, step, directory)
        checkpoint_report.check_items(
            files.item_metadata(step), step, items, meta["fingerprints"], directory
        )
        restored = files.restore(
            step,
            args=ocp.args.Composite(
                **{name: ocp.args.StandardRestore(tree) for name, tree in items.items()},
                data=ocp.args.JsonRestore(),
            ),
        )
    return {**{name: restored[name] for name in (*items, "data")}, "meta": meta}


def _verify(trees: Mapping[str, Any], items: Iterable[str], step: int) -> None:
    """Raises OSError if anything that `_read` returned is not what was saved as `step`."""
    verify({name: trees[name] for name in items}, trees["meta"])
    if trees["meta"].get("data", trees["data"]) != trees["data"]:  # Early runs have no copy.
        raise OSError("the data position does not match its copy")
    saved = int(jax.device_get(trees["optimizer"]["step"]))
    if saved != step:
        raise OSError(f"the folder holds step {saved}")


def _agreed(name: str, problem: str) -> str:
    """The problem of the first process that has one."""
    problems = distributed.share(name, problem)
    return min(problems.items())[1] if problems else ""


def _state(trees: Mapping[str, Any]) -> tuple[TrainState, dict[str, Any]]:
    extra = dict(trees["params"])
    params = extra.pop("params")
    return TrainState(
        step=trees["optimizer"]["step"],
        params=params,
        extra=extra,
        opt_state=trees["optimizer"]["opt_state"],
        ema=trees["ema"]["params"] if "ema" in trees else None,
    ), dict(trees["data"])
