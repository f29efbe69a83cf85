"""The training loop. There is one, for every model of this package; read it top to bottom."""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections

from flexlam_jax.checkpoints.files import FOLDER
from flexlam_jax.config.settings import check, defaults
from flexlam_jax.errors import Interrupted
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import sharding
from flexlam_jax.parallel.mesh import check_batch_size, make_mesh
from flexlam_jax.parallel.signals import StopSignals
from flexlam_jax.parallel.streams import total
from flexlam_jax.parallel.watchdog import DEFAULT_SECONDS, SLOW, Watchdog
from flexlam_jax.training.agreement import check_agreement
from flexlam_jax.training.augmentation import make_augmentation
from flexlam_jax.training.batches import DataIterator, DeviceBatches
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.compilation import compiled_programs_in
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.performance import Chrono, Profiler, measure_peak_tflops, update_flops
from flexlam_jax.training.program import train_program
from flexlam_jax.training.run_log import RunLog
from flexlam_jax.training.settings import RunSettings
from flexlam_jax.training.state import TrainState
from flexlam_jax.training.step import check_splittable
from flexlam_jax.training.warm_start import apply_start, sources_of, start_of
from flexlam_jax.training.workdir import Workdir

_log = logging.getLogger(__name__)

Evaluate = Callable[[TrainState], Mapping[str, float]]


def fit(
    objective: Objective,
    data: DataIterator,
    config: Any,
    workdir: Any,
    *,
    mesh: jax.sharding.Mesh | None = None,
    evaluate: Evaluate | None = None,
    data_hashes: Mapping[str, str] | None = None,
    config_defaults: Mapping[str, Any] | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> TrainState:
    """Trains `objective` on `data` for `config.total_steps` updates, or what is left of them.

    A work directory that already holds steps of this run is continued, and the result is that of a
    run never stopped: bit for bit on the same devices, to rounding on others. Whenever it is
    killed, at most `config.checkpoint.every` updates are lost; see `Checkpoints.due`.

    Args:
      objective: what to train.
      data: endless iterator of host batches, this process's rows of each global batch
        (`sharding.process_rows`): arrays, or {stream: arrays} where config.batch_size has rows per
        stream. Closed at the end.
      config: a mapping with the keys of `settings.RunSettings`; others belong to the model and its
        data.
      workdir: directory for everything the run writes; see workdir.py.
      mesh: `make_mesh(config.mesh)` where the caller has made it; None makes it here.
      evaluate: called every `config.eval.every` updates, before the first and after the last one,
        with the state; returns scalars for metrics.jsonl. Must be deterministic.
      data_hashes: name of each dataset -> hash of its content, recorded with the run, which is
        continued on the same content only.
      config_defaults: the config of defaults, as `settings.defaults` makes it: a run that is there
        without a key is continued by a config that has its default. None for RunSettings.
      beside: name -> content of files that whoever loads the run reads too, for the folder of its
        steps; those that a run that goes on has there stay.

    Returns:
      The final state.

    Raises:
      UserError: bad config, mesh, work directory or checkpoint; see flexlam_jax/errors.py.
      FloatingPointError: loss or gradient is not finite, with step and value.
      Interrupted: after SIGTERM or SIGINT, when the state is safely on disk.
      ProcessLost: another process of the run ended; see distributed.py.
    """
    # By way of dicts: a flag leaves plain ones in a config, which cannot be frozen.
    config = ml_collections.FrozenConfigDict(ml_collections.ConfigDict(config).to_dict())
    plain = json.loads(config.to_json())

    with contextlib.ExitStack() as stack:  # Left in reverse order: the lock goes last.
        ### Mesh and work directory: every cheap check before anything is written or compiled.

        check(plain, RunSettings, others=True)
        watchdog = stack.enter_context(Watchdog(config.get("watchdog_seconds", DEFAULT_SECONDS)))
        check_agreement(plain)
        mesh = make_mesh(config.mesh) if mesh is None else mesh
        stack.enter_context(jax.set_mesh(mesh))
        check_batch_size(config.batch_size, config.optimizer.accumulate, mesh)
        check_splittable(objective, config.optimizer.accumulate)
        schedule = make_schedule(config.optimizer, config.total_steps)
        optimizer = make_optimizer(config.optimizer, schedule)
        make_augmentation(config.get("augmentation"))  # Raises for wrong values.
        sources_of(config)  # Likewise.
        run = stack.enter_context(
            Workdir(workdir, plain, data_hashes, config_defaults or defaults(RunSettings), beside)
        )
        stack.enter_context(compiled_programs_in(run.file("compilation_cache")))
        stop = stack.enter_context(StopSignals())

        ### Abstract first: shapes of batch and state, where each array will live, and the step.

        batches = stack.enter_context(
            DeviceBatches(
                data,
                sharding.batch_sharding(mesh),
                batch_size=config.batch_size,
                rows=sharding.process_rows(mesh, config.batch_size),
            )
        )
        batch = batches.shapes()
        program = train_program(objective, optimizer, schedule, config, mesh, batch)
        _log.info(program.describe(mesh))

        ### State: the newest good checkpoint, or a fresh one born in its shards.

        checkpoints = stack.enter_context(
            Checkpoints(
                run.file(FOLDER), every=config.checkpoint.every, keep=config.checkpoint.keep
            )
        )
        restored = checkpoints.restore_latest(program.abstract)
        if restored is None:
            start = start_of(config, program.abstract, run.file(FOLDER))
            state = apply_start(start, program.create())
            checkpoints.references = start.references
            step, resumed_at = 0, None
        else:
            state, position = restored
            batches.set_state(position)
            step = resumed_at = int(jax.device_get(state.step))
            _log.info("continuing from step %d", step)

        ### What the run tells about itself.

        log = stack.enter_context(
            RunLog(
                run,
                config,
                resumed_at=resumed_at,
                chrono=_chrono(config, objective, program.abstract, batch, mesh),
                advice=objective.advice,
            )
        )
        profiler = stack.enter_context(_profiler(config, run))

        ### The loop. The order is the contract; nothing in it waits for the step just dispatched.

        compiled_at = step + 2  # The first step's metrics are read after the second was dispatched.
        while True:
            last, stopping = step == config.total_steps, stop.requested(step)
            evaluating = evaluate and (step % config.eval.every == 0 or last)
            saving = checkpoints.due(step) or last or stopping
            fresh = step != resumed_at  # What was restored has been evaluated and saved before.

            # 0. A state to be evaluated or saved must be known to be finite.
            if evaluating or saving:
                log.catch_up()

            # 1. Evaluate, before saving: a saved step is never evaluated twice.
            if evaluating and fresh:
                watchdog.beat(f"evaluation at step {step}", SLOW)
                log.evaluation(step, evaluate(state))

            # 2. Save, before drawing the next batch: state and data position belong together.
            if saving and fresh and step > 0:
                watchdog.beat(f"saving at step {step}", SLOW)
                checkpoints.save(state, batches.get_state(), plain)
            if last or stopping:
                watchdog.beat("finishing", SLOW)
                break

            # 3. Draw the batch; it is on the device already.
            batch, waited = next(batches), batches.take_wait()

            # 4. Dispatch the step, compiled at the first. The old state is gone after this line.
            profiler.at(step, state)
            watchdog.beat(f"step {step + 1}", SLOW if step < compiled_at else 1)
            state, metrics = program.step(state, batch)
            step += 1

            # 5. Read the metrics of the step before, while this one runs.
            log.after_step(step, metrics, waited)
            checkpoints.check()

    if step < config.total_steps:
        saved = "stopped and saved" if step else "stopped before the first update,"
        raise Interrupted(
            f"{saved} at step {step} of {config.total_steps}; the same command continues"
        )
    return state


def _chrono(config: Any, objective: Objective, state: TrainState, batch: Any, mesh: Any) -> Chrono:
    flops = update_flops(objective, state, batch, config.batch_size)
    peak = config.peak_tflops * mesh.size
    if not peak and flops:
        peak = measure_peak_tflops(mesh, objective.dtype)
    return Chrono(
        rows=total(config.batch_size),
        transitions=total(config.batch_size, objective.transitions_per_row),
        flops=flops,
        peak_tflops=peak,
    )


def _profiler(config: Any, run: Workdir) -> Profiler:
    window = config.get("profile", {"start": 0, "steps": 0})
    return Profiler(run.file("profile"), window["start"], window["steps"])
