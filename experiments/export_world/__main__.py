"""Starts the command."""

import os

from experiments import process

os.environ["JAX_PLATFORMS"] = "cpu"  # Little is computed: starts, the legend, constants of graphs.
process.start()  # Before the imports, which take seconds.

from absl import flags  # noqa: E402

from experiments import cli  # noqa: E402
from experiments.export_world import command  # noqa: E402

flags.adopt_module_key_flags(command)
cli.run(command.main)
