"""What the binaries share: errors without tracebacks, and exit codes that launchers understand.

    0   done
    1   an error, told in one message (with a traceback only if it is a bug of ours)
    75  interrupted by SIGTERM or Ctrl-C after saving: run the same command again
"""

from collections.abc import Callable, Sequence
import contextlib
import functools
import logging as python_logging
import sys
from typing import Any

from absl import app, flags, logging

from data_pipelines.errors import DataError
from flexlam_jax.errors import Interrupted, UserError
from flexlam_jax.training.signals import EXIT_INTERRUPTED

_KNOWN = (UserError, DataError, FloatingPointError)


def run(main: Callable[[Sequence[str]], Any]) -> None:
    """`absl.app.run` for people: known errors are one message on stderr and exit code 1."""
    app.run(functools.partial(_guarded, main), flags_parser=_parse)


def _guarded(main: Callable[[Sequence[str]], Any], argv: Sequence[str]) -> None:
    logging.use_absl_handler()
    python_logging.getLogger("orbax").setLevel(python_logging.ERROR)
    try:
        main(argv)
    except _KNOWN as error:
        _fail(error)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def _parse(argv: Sequence[str]) -> list[str]:
    """Reads the flags; ml_collections answers unknown config keys with a traceback, we do not."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        if isinstance(error.__cause__ or error.__context__, UserError):
            _fail(error.__cause__ or error.__context__)
        _fail(error)
    except (AttributeError, KeyError, TypeError) as error:
        text = str(error.args[0] if error.args else error).replace("\n", " ")
        _fail(f"unknown config key in {[a for a in argv[1:] if a.startswith('--config.')]}: {text}")


@contextlib.contextmanager
def reading_config():
    """Turns what building parts from a config raises (plain ValueErrors) into user errors."""
    try:
        yield
    except _KNOWN:
        raise
    except (ValueError, AttributeError, KeyError) as error:
        raise UserError(f"bad config: {error}") from error


def config_value(flag: flags.FlagHolder) -> Any:
    """The config of a `DEFINE_config_file` flag, or a UserError when its file cannot be read."""
    try:
        flag.value.to_dict
    except (FileNotFoundError, OSError) as error:
        raise UserError(f"--config: {error}") from error
    return flag.value


def _fail(error: Any) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
