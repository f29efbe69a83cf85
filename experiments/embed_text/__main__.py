"""Starts the command."""

from experiments import process

process.start()  # Before the imports, which take seconds.

from absl import flags  # noqa: E402

from experiments import cli  # noqa: E402
from experiments.embed_text import command  # noqa: E402

flags.adopt_module_key_flags(command)
cli.run(command.main)
