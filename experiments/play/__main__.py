"""Starts the command. Worker processes do not import what the main module of a package imports."""

from experiments import process

process.start()  # Before the imports, which take seconds.

from absl import flags  # noqa: E402

from experiments import cli  # noqa: E402
from experiments.play import command  # noqa: E402

flags.adopt_module_key_flags(command)
cli.run(command.main)
