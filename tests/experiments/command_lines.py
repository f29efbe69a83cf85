"""Many command lines of one binary in one process: starting one takes longer than being refused.

    python -m tests.experiments.command_lines BINARY < lines.json

Reads a list of lists of flags; prints a list of [exit code, stdout, stderr, folder of compiled
programs].
"""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def run_lines(binary, lines):
    """The results of all lines, by a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.command_lines", binary],
        input=json.dumps(lines),
        cwd=REPO,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main():
    import jax
    from absl import flags
    from absl.testing import flagsaver

    from experiments import cli

    name = sys.argv[1]
    binary = importlib.import_module(f"experiments.{name}")
    flags.FLAGS.set_gnu_getopt(True)
    results = []
    for line in json.load(sys.stdin):
        out, err, code = io.StringIO(), io.StringIO(), 0
        sys.argv = [name, *line]  # Where --config.KEY=VALUE are looked for.
        with (
            flagsaver.flagsaver(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.guarded(binary.main, cli._parse(sys.argv))
            except SystemExit as stop:
                code = stop.code
        results.append([code, out.getvalue(), err.getvalue(), jax.config.jax_compilation_cache_dir])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
