"""Pretrains a latent action model on unlabelled video.

    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/doom \\
        [--config.data.path=DIR] [--config.model.slots=16]

Killed or interrupted, the same command continues it. See flexlam_jax/training/loop.py for the loop.
"""

from absl import flags
import jax
from ml_collections import config_flags

from data_pipelines.loader import ordered_batches, training_batches
from experiments import cli
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.training.compilation import use_compilation_cache
from flexlam_jax.training.loop import fit
from flexlam_jax.training.mesh import make_mesh
from flexlam_jax.training.sharding import batch_shard
from flexlam_jax.training.validation import mean_loss

_CONFIG = config_flags.DEFINE_config_file("config", None, "Preset file, as FILE or FILE:variant.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory for all that the run writes.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv):
    del argv
    config = cli.config_value(_CONFIG)
    use_compilation_cache(config.compilation_cache)
    with cli.reading_config():
        objective = lam_objective(build_lam(config.model), config.model, config.loss,
                                  clip_length=config.data.clip_length)
        index, count = batch_shard(make_mesh(config.mesh), config.batch_size)
        data = training_batches(config.data, seed=config.seed, batch_size=config.batch_size,
                                process_index=index, process_count=count)
        evaluate = mean_loss(objective, validation_batches(config), seed=config.seed)
    fit(objective, data, config, _WORKDIR.value, evaluate=evaluate)


def validation_batches(config):
    """The first `eval.batches` full batches of the validation split, the same ones every time."""
    data = config.data
    batches = ordered_batches(
        data.path, data.datasets, "validation", config.batch_size, data.fields,
        clip_length=data.clip_length, gap=data.gap, limit=config.eval.batches * config.batch_size)
    return [batch for batch in batches if len(batch["frames"]) == config.batch_size]


if __name__ == "__main__":
    cli.run(main)
