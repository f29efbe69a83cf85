"""Pretrains a latent action model on unlabelled video.

    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/doom \\
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

from data_pipelines.loading.loader import training_batches
from experiments import cli
from experiments.data_hashes import data_hashes
from flexlam_jax import output_folder
from flexlam_jax.config.ranges import check_config
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.parallel import distributed
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import process_rows
from flexlam_jax.training.compilation import use_compilation_cache
from flexlam_jax.training.host_memory import reuse_host_memory
from flexlam_jax.training.loop import fit
from flexlam_jax.training.memory_needed import check_device_memory, check_host_memory
from flexlam_jax.training.validation import mean_loss

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory for all that the run writes.")
flags.mark_flags_as_required(["config", "workdir"])
cli.define_process_flags()


def main(argv):
    del argv
    config = cli.config_value(_CONFIG)  # Before this waits for other processes.
    reuse_host_memory()
    cli.join_processes()
    pretrain(config, _WORKDIR.value)


def pretrain(config, workdir):
    """Builds data, model and objective from a preset, and trains; returns the final TrainState."""
    if distributed.process_index() == 0:
        output_folder.check(workdir, output_folder.RUN)
    check_config(config)
    check_host_memory(config)
    use_compilation_cache(config.compilation_cache)
    objective = lam_objective(
        build_lam(config.model), config.model, config.loss, clip_length=config.data.clip_length
    )
    check_device_memory(objective, config)
    rows = process_rows(make_mesh(config.mesh), config.batch_size)
    data = training_batches(
        _data(config, config.data.split), seed=config.seed, batch_size=config.batch_size, rows=rows
    )
    evaluate = validation(config, objective, rows)
    splits = [config.data.split, *(["validation"] if evaluate else [])]
    hashes = data_hashes(_data(config, config.data.split), splits)
    return fit(objective, data, config, workdir, evaluate=evaluate, data_hashes=hashes)


def validation(config, objective, rows):
    """Mean loss on `eval.batches` shuffled batches of the validation split, the same in every run.

    None for no batches. Opens the data now and reads it at the first evaluation.
    """
    if not config.eval.batches:
        return None
    # Held-out rows are drawn one by one, however training draws its own.
    data = {**_data(config, "validation"), "pairs_per_clip": 1}
    batches = training_batches(data, seed=0, batch_size=config.batch_size, rows=rows)

    def draw():
        drawn = [next(batches) for _ in range(config.eval.batches)]
        batches.close()
        return drawn

    return mean_loss(objective, draw, batch_size=config.batch_size, seed=config.seed)


def _data(config, split):
    size = config.model.image_size
    return {**config.data, "split": split, "image_size": size if isinstance(size, int) else 0}


if __name__ == "__main__":
    cli.run(main)
