"""The frozen latent action model of a run that needs one inside its loss: which, and on which data."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.gaps import gap_frames
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from experiments.frozen_parts import frames_for, freeze_part, start_part
from experiments.latent_statistics import Moments, moments
from flexlam_jax.errors import ConfigError
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.load import LAM, kind_of, load_as
from flexlam_jax.loading.vector_lam import LoadedVectorLam
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.frozen_lam import MODEL, FrozenLam
from flexlam_jax.objectives.lam_finetune import MODEL as FINETUNED

_SAMPLES = 4096  # transitions that statistics are taken from
_ROWS = 256
_SHARE = 100  # Statistics are good to this part of the deviation.


def open_lam(config: Any) -> LoadedLam:
    """The model of `lam.checkpoint`, at `lam.step` where that is given.

    Raises:
      CheckpointError: no checkpoint, no such step, or another kind of model.
      ConfigError: another model lay there when its latent actions were written.
    """
    given = config.lam
    lam = load_as(LAM, given.checkpoint, given.step or None)
    if isinstance(lam, LoadedVectorLam):
        raise ConfigError(
            f"config.lam.checkpoint={given.checkpoint!r} is a model of vectors, and what is encoded "
            "inside the step are frames; write its latent actions with experiments.extract_latents and "
            "read them as config.data.sidecars.slots"
        )
    if given.fingerprint and given.fingerprint != lam.fingerprint():
        raise ConfigError(
            f"config.lam.checkpoint={given.checkpoint!r} is model {lam.fingerprint()[:12]} (step "
            f"{lam.step}), and the latent actions are of model {given.fingerprint[:12]} (step "
            f"{given.step}); name the checkpoint that experiments.extract_latents read, or write "
            "the latent actions again"
        )
    return lam


def freeze(config: Any, lam: LoadedLam) -> None:
    """Writes into the config that the run takes the model's parameters, and does not train them.

    Raises:
      ConfigError: the config takes other parameters under that name.
    """
    freeze_part(config, MODEL, _entry(config, lam))


def start_with(config: Any, lam: LoadedLam) -> None:
    """Writes into the config that the run starts with the model's parameters; raises as `freeze`."""
    start_part(config, MODEL, _entry(config, lam))


def _entry(config: Any, lam: LoadedLam) -> dict[str, Any]:
    """Of `init_from`; kinds other than the model's own hold it beside other parameters."""
    path = config.lam.checkpoint
    take = "" if kind_of(path, lam.step) == LAM else FINETUNED
    return {"path": path, "take": take, "to": MODEL, "step": lam.step}


def frozen_lam(lam: LoadedLam, gap: int) -> FrozenLam:
    """The model as an objective reads it."""
    return FrozenLam(build_lam(lam.config["model"]), lam.frame_shape, gap)


def gap_of(data: Any, lam: LoadedLam | None) -> int:
    """Frames of a transition: those of the `data` section, else those that the model learned from,
    where there is one.

    Raises:
      ConfigError: a gap that is no number of frames, or entries of a mixture with other ones.
      DataError: seconds, and data without a frame rate.
    """
    gap = data.gap if data.gap != 1 or lam is None else _trained_gap(data, lam)
    if not isinstance(gap, int):
        raise ConfigError(
            f"config.data.gap={gap!r}: latent actions that are encoded are of transitions of one "
            "length; give a number of frames"
        )
    for name, entry in data.get("mixture", {}).items():
        if entry.get("gap", gap) != gap:
            raise ConfigError(
                f"config.data.mixture.{name}.gap={entry.get('gap')!r}, but latent actions are of "
                f"transitions of {gap} frames; leave it out"
            )
    return gap


def _trained_gap(data: Any, lam: LoadedLam) -> Any:
    """As extract_latents takes it: the shortest of a range, in frames of the first dataset."""
    gap = (lam.config.get("data") or {}).get("gap", 1)
    gap = tuple(gap) if isinstance(gap, list) else gap
    if not data.get("path") and not data.get("mixture"):  # On paper.
        return gap[0] if isinstance(gap, tuple) else gap
    entry = next(iter(loader_options(data).entries.values()))
    info = open_dataset(entry.path)
    return gap_frames(gap, info.spec(select_datasets(info, entry.datasets, entry.cameras)[0]))[0]


def frame_options(data: Any, lam: LoadedLam) -> dict[str, int]:
    """`frames_for` the model. Raises ConfigError where the `data` section asks for another size."""
    return frames_for("latent action model", lam.frame_shape, data)


def encoded_statistics(data: Mapping[str, Any], lam: LoadedLam, size: int, seed: int) -> Moments:
    """`latent_statistics` of what the model makes of 4096 transitions that a run would draw.

    Good to a hundredth of the deviation and no better, so that a run which goes on on other hardware
    finds the same numbers.

    Args:
      data: loader options that give frames of the model's size.
      size: first numbers of the slots.

    Raises:
      DataError: as `training_batches`.
    """
    batches = training_batches(data, seed=seed, batch_size=_ROWS)

    def blocks() -> Iterator[tuple[str, np.ndarray]]:
        for _ in range(_SAMPLES // _ROWS):
            frames = next(batches)["frames"]
            yield "config.lam.checkpoint", lam.encode_with_ids(frames[:, 0], frames[:, 1])[0]

    mean, scale = moments(blocks(), size)
    batches.close()
    grid = [10.0 ** np.floor(np.log10(x)) / _SHARE for x in scale]
    return tuple(
        tuple(float(round(x / g) * g) for x, g in zip(values, grid, strict=True))
        for values in (mean, scale)
    )
