"""What the families share that train on clips of one size, one stream to a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.loading.loader import TrainingBatches, training_batches
from experiments.tasks.registry import kind_of
from flexlam_jax.checkpoints.subtrees import within
from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel.streams import is_streams
from flexlam_jax.training.batches import DataIterator
from flexlam_jax.training.loop import Evaluate
from flexlam_jax.training.validation import mean_loss


def check_sizes(config: Any) -> None:
    """The loader brings frames to the size that the model reads, or refuses them.

    Raises:
      ConfigError: `data.image_size` is another one.
    """
    size, given = config.model.image_size, config.data.get("image_size", 0)
    if given and given != size:
        raise ConfigError(
            f"config.data.image_size={given} but config.model.image_size={size}; the model's "
            "decides for both, so leave out config.data.image_size"
        )


def check_rows(config: Any) -> None:
    """Batches without streams have one number of rows. Raises ConfigError for several."""
    if is_streams(config.batch_size):
        raise ConfigError(
            f"config.batch_size has rows for the streams {', '.join(config.batch_size)}, and a "
            f"batch of config.kind={kind_of(config)!r} has none; give one number, as in "
            "config.batch_size=64"
        )


def check_autoencoder(config: Any, place: str) -> None:
    """A flow in latents needs an autoencoder that was trained; nothing here trains one.

    Args:
      place: of a latent action model's decoder in the parameters.

    Raises:
      ConfigError: it would be random, or moved by weight decay.
    """
    latents = config.model.decoder.get("latents") or {}
    path = f"{place}/latents"
    if latents.get("kind") == "kl" and not within(path, tuple(config.get("frozen") or ())):
        raise ConfigError(
            f"config.model.decoder.latents.kind='kl' needs a trained autoencoder at {path!r} of the "
            "parameters: name it in config.init_from and in config.frozen, as the variant from=DIR "
            "of experiments/configs/flow.py does with what experiments.import_pretrained wrote"
        )


def check_every_frame(data: Any, why: str = "a policy acts at every frame") -> None:
    """What learns from true actions reads every frame. Raises ConfigError for gaps, with the reason."""
    mixture = {f"data.mixture.{name}": entry for name, entry in data.get("mixture", {}).items()}
    for name, section in {"data": data, **mixture}.items():
        gap = section.get("gap", 1)
        if gap != 1:
            raise ConfigError(f"config.{name}.gap={gap!r}, but {why}; leave it out")


def data_of(config: Any, split: str) -> dict[str, Any]:
    """The `data` section for a split, at the size of the model."""
    size = config.model.image_size
    return {**config.data, "split": split, "image_size": size if isinstance(size, int) else 0}


def training_data(config: Any, data: Mapping[str, Any], rows: Sequence[int]) -> TrainingBatches:
    """`Task.data`, of what `data_of` gives; opens the data now. Raises DataError."""
    return training_batches(data, seed=config.seed, batch_size=config.batch_size, rows=rows)


def held_out_loss(
    config: Any, objective: Objective, data: Mapping[str, Any], rows: Sequence[int]
) -> Evaluate:
    """Mean loss on `eval.batches` shuffled batches of `data`, the same in every run.

    Opens the data now and reads it at the first evaluation.
    """
    # Held-out rows are drawn one by one, however training draws its own.
    batches = training_batches(
        {**data, "pairs_per_clip": 1}, seed=0, batch_size=config.batch_size, rows=rows
    )
    return loss_on(config, objective, batches)


def loss_on(config: Any, objective: Objective, batches: DataIterator) -> Evaluate:
    """Mean loss on the next `eval.batches` batches, read at the first evaluation and kept."""

    def draw() -> list[Mapping[str, Any]]:
        drawn = [next(batches) for _ in range(config.eval.batches)]
        batches.close()
        return drawn

    return mean_loss(objective, draw, batch_size=config.batch_size, seed=config.seed)
