"""What the binaries share: errors without tracebacks, and exit codes that launchers understand.

    0   done
    1   an error, told in one message (with a traceback only if it is a bug of ours)
    75  interrupted by SIGTERM or Ctrl-C after saving: run the same command again
"""

from collections.abc import Callable, Sequence
import contextlib
import functools
import logging as python_logging
import re
import sys
from typing import Any

from absl import app, flags, logging

from data_pipelines.errors import DataError
from flexlam_jax.errors import Interrupted, UserError
from flexlam_jax.training.signals import EXIT_INTERRUPTED

_KNOWN = (UserError, DataError, FloatingPointError)


def run(main: Callable[[Sequence[str]], Any]) -> None:
    """`absl.app.run` for people: known errors are one message on stderr and exit code 1."""
    app.run(functools.partial(guarded, main), flags_parser=_parse)


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


def _parse(argv: Sequence[str]) -> list[str]:
    """Reads the flags. ml_collections answers a wrong config file or key with a traceback."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        lines = str(error).strip().splitlines()
        _fail(lines[-1].strip() if "Traceback" in str(error) else error)
    except (AttributeError, KeyError, TypeError) as error:
        text = str(error).replace("\\n", ". ").replace("\\'", "'").replace("\n", ". ").strip("'\"")
        key = re.search(r"(\w+)", text)
        given = [arg for arg in argv[1:] if key and key.group(1) in arg.split("=")[0].split(".")]
        _fail(f"unknown config key in {' '.join(given)}: {text}")
    except OSError as error:
        _fail(f"--config: {str(error).strip().splitlines()[-1].strip()}")


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
    """The config of a `DEFINE_config_file` flag; a file that is not there only shows on reading."""
    try:
        flag.value.keys()
    except OSError as error:
        _fail(f"--config: {str(error).strip().splitlines()[-1].strip()}")
    return flag.value


def _fail(error: Any) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
