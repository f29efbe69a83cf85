"""What the binaries share: errors without tracebacks, and exit codes that launchers understand.

    0   done
    1   an error, told in one message (with a traceback only if it is a bug of ours)
    75  training, stopped by SIGTERM or Ctrl-C, in the loop after saving: run the same command again
    76  hung; the stacks of all threads were printed: run the same command again
    77  another process of the run was lost: start all processes again
    134 the same, noticed by JAX; see flexlam_jax/parallel/distributed.py
    130 or 143, other binaries than training: stopped by Ctrl-C or SIGTERM

So a launcher starts a run again after every code but 0, 1 and 2 (what Python and the shell say of
wrong use).
"""

import functools
import logging as python_logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import app, flags, logging

from data_pipelines.errors import DataError
from experiments import preset_flag, process
from experiments.tasks.registry import check_config
from flexlam_jax.errors import Interrupted, UserError
from flexlam_jax.files import cannot_write, storage_error
from flexlam_jax.parallel import distributed
from flexlam_jax.parallel.signals import EXIT_INTERRUPTED

_KNOWN = (UserError, DataError, FloatingPointError)
flags.disclaim_key_flags()  # What is defined here belongs to the binary that asks for it: --help.


def run(main: Callable[[Sequence[str]], Any]) -> None:
    """`absl.app.run` for people: known errors are one message on stderr and exit code 1."""
    flags.FLAGS.set_gnu_getopt(True)  # Flags after a stray word are read, the word is refused.
    try:
        app.run(functools.partial(guarded, main), flags_parser=_parse)
    except SystemExit as stop:
        if process.lost_output() and not stop.code or stop.code == 1:
            # An error may leave threads of libraries at work, whom the end of Python would crash.
            os._exit(1)
        raise


def guarded(main: Callable[[Sequence[str]], Any], argv: Sequence[str]) -> None:
    # Libraries may warn; we alone may chat. --verbosity=0 brings their chatter back.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    python_logging.getLogger("flexlam_jax").setLevel(python_logging.INFO)
    try:
        main(argv)
    except _KNOWN as error:
        _fail(error)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        full = storage_error(error) if isinstance(error, OSError) else None
        if full:
            _fail(cannot_write(full.filename or "the output", full))
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
            told = str(error).strip().splitlines()[0]
            _fail(
                f"the run does not fit into the memory of its devices ({told}). Take "
                "--config.optimizer.accumulate=2 or more, --config.model.remat=mlp or full, or "
                "split parameters over more devices, --config.mesh.fsdp; experiments.plan_pod "
                "says what fits."
            )
        if distributed.process_count() > 1:
            _leave_run(error)
        raise


def join_processes() -> None:
    """Joins the processes of a run by flags, environment or what JAX detects; before any device."""
    values = flags.FLAGS
    distributed.initialize(
        values.coordinator_address,
        values.num_processes,
        values.process_id,
        timeout=values.coordinator_timeout,
        heartbeat_timeout=values.heartbeat_timeout,
    )


def define_process_flags() -> None:
    """The flags that `join_processes` reads; for binaries that train."""
    flags.DEFINE_string(
        "coordinator_address",
        None,
        "HOST:PORT of process 0, for several processes"
        " (or COORDINATOR_ADDRESS; detected on TPU pods, Slurm and GKE).",
    )
    flags.DEFINE_integer(
        "num_processes",
        None,
        "Processes of this run (or NUM_PROCESSES); 1 keeps a run to itself on a cluster.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "process_id", None, "Which of them this is, from 0 (or PROCESS_ID).", lower_bound=0
    )
    flags.DEFINE_integer(
        "coordinator_timeout",
        distributed.COORDINATOR_TIMEOUT,
        "Seconds until all processes must have arrived.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "heartbeat_timeout",
        distributed.HEARTBEAT_TIMEOUT,
        "Seconds of silence until a process counts as dead.",
        lower_bound=1,
    )


def _parse(argv: Sequence[str]) -> list[str]:
    """Reads the flags; a mistake in them is one message, a bug in a preset keeps its traceback."""
    try:
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            _fail(_stray(argv, rest[1:]))
        return rest
    except flags.Error as error:
        _fail(error)
    except preset_flag.Failed as failed:
        if isinstance(failed.__cause__, _KNOWN):
            _fail(failed.__cause__)
        raise failed.__cause__ from None


def _stray(argv: Sequence[str], words: Sequence[str]) -> str:
    """What to do about words that belong to no flag: most are items of a list."""
    told = (
        f"unexpected words {' '.join(words)}" if len(words) > 1 else f"unexpected word {words[0]}"
    )
    given = " ".join(argv[1 : argv.index(words[0], 1)]).rpartition("--")[2].replace(" ", "=")
    name = given.partition("=")[0]
    if name in flags.FLAGS and isinstance(flags.FLAGS[name].parser, flags.ListParser):
        return f"{told}; lists are written --{','.join([given, *words])}"
    return f"{told}; values are written --flag=value, in quotes where they hold spaces"


def define_config(help_text: str = "Preset, as FILE or FILE:variant.") -> flags.FlagHolder:
    """The flag --config, whose help lists every key of a config."""
    return preset_flag.define_config(help_text)


def config_value(flag: flags.FlagHolder) -> Any:
    """The config of the flag, with numbers in their ranges; touches no device.

    Raises:
      ConfigError: a key that is missing, a number out of its range.
    """
    check_config(flag.value)
    return flag.value


def _leave_run(error: Exception) -> None:
    """Ends one of several processes: with 77 where the error is that another one is gone."""
    lost = distributed.lost_behind(error)
    if lost:
        print(f"error: {lost}", file=sys.stderr)
        distributed.leave(distributed.EXIT_LOST, lost)
    traceback.print_exception(error)
    distributed.leave(1, f"{type(error).__name__}: {error}")


def _fail(error: Any) -> None:
    print(f"error: {error}", file=sys.stderr)
    distributed.leave(1, str(error))
    sys.exit(1)
