"""Trains any model of this package: the `kind` of the config says which; see experiments/tasks.

    python -m experiments.train --config=experiments/configs/doom.py --workdir=runs/doom \\
        [--config.data.path=DIR] [--config.model.slots=16]

Killed or interrupted, the same command continues it, on as many devices as there are then. On TPU
pods, Slurm and GKE start it on every host; elsewhere add --coordinator_address=HOST:PORT
--num_processes=N --process_id=I (or set COORDINATOR_ADDRESS, NUM_PROCESSES, PROCESS_ID).
See flexlam_jax/training/loop.py for the loop.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start(restart=True)

from absl import flags

from experiments import cli
from experiments.tasks.registry import build_task, check_config, kind_of, settings_of
from flexlam_jax import output_folder
from flexlam_jax.config.settings import defaults
from flexlam_jax.errors import ConfigError
from flexlam_jax.parallel import distributed
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import process_rows
from flexlam_jax.parallel.streams import rows_of
from flexlam_jax.training.compilation import use_compilation_cache
from flexlam_jax.training.host_memory import reuse_host_memory
from flexlam_jax.training.loop import fit
from flexlam_jax.training.memory_needed import check_device_memory, check_host_memory

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory for all that the run writes.")
flags.mark_flags_as_required(["config", "workdir"])
cli.define_process_flags()


def main(argv, only=None):
    """`only`: the kind that the command is for, of those that the flags may name; None for all."""
    del argv
    config = cli.config_value(_CONFIG)  # Before this waits for other processes.
    if only and kind_of(config) != only:
        raise ConfigError(
            f"config.kind={kind_of(config)!r}, and this command is for {only!r}; "
            "use experiments.train"
        )
    reuse_host_memory()
    cli.join_processes()
    train(config, _WORKDIR.value)


def train(config, workdir):
    """Builds the task of a config once and trains it; returns the final TrainState."""
    if distributed.process_index() == 0:
        output_folder.check(workdir, output_folder.RUN)
    check_config(config)
    use_compilation_cache(config.compilation_cache)
    task = build_task(config)
    config = task.config or config
    check_host_memory(task.batch, config)
    check_device_memory(task.objective, task.batch, config)
    mesh = make_mesh(config.mesh)
    rows = process_rows(mesh, rows_of(task.batch))
    return fit(
        task.objective,
        task.data(rows),
        config,
        workdir,
        mesh=mesh,
        evaluate=_all_of(task.evaluators(rows)),
        data_hashes=task.data_hashes(),
        config_defaults=defaults(settings_of(config)),
        beside=task.beside(),
    )


def _all_of(evaluators):
    """One function of the state that gives the scalars of all; None for none."""
    if not evaluators:
        return None

    def evaluate(state):
        return {name: value for one in evaluators for name, value in one(state).items()}

    return evaluate


if __name__ == "__main__":
    cli.run(main)
