"""Batches made ready for the remedies, and their checks: what is missing is said before any update.

Dimension keys: B rows, T frames of a clip, H W C image.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.objective import Batch, Objective, Outcome, Variables
from flexlam_jax.objectives.remedies.features import with_moving_targets
from flexlam_jax.objectives.remedies.partners import side_by_side
from flexlam_jax.objectives.remedies.settings import EMA, RemedySettings
from flexlam_jax.objectives.remedies.shift import draw_shifts, shift_frames
from flexlam_jax.random import fold_name

SHOWN = "frames_shown"  # What the decoder sees and predicts, where that is not `frames`.


def with_remedies(objective: Objective, settings: RemedySettings) -> Objective:
    """The LAM's objective on batches as the loader gives them; the same one where none is on."""
    if settings.feature and settings.feature_space == EMA:
        objective = with_moving_targets(objective, settings)
    if not (settings.mask or settings.shift or settings.cross):
        return objective
    inner = objective

    def init(key: jax.Array, batch: Batch) -> Variables:
        return inner.init(key, ready(settings, batch, key))

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        return inner.outcome(params, extra, ready(settings, batch, key), key)

    return dataclasses.replace(objective, init=init, outcome=outcome)


def ready(settings: RemedySettings, batch: Mapping[str, Any], key: jax.Array) -> dict[str, Any]:
    """With partners beside their rows and everything shifted.

    `frames` is what the encoder reads, SHOWN what the decoder does; masks are of the latter.

    Raises:
      ConfigError: no masks or partners, or of another size; shifts as wide as the picture.
    """
    batch = dict(batch)
    mask = f"frames_{settings.mask}" if settings.mask else ""
    if mask:
        _check_mask(settings.mask, batch)
    if settings.cross:
        batch = side_by_side(batch)
    if settings.shift:
        frames = batch["frames"]
        if 2 * settings.shift >= min(frames.shape[2:4]):
            raise ConfigError(
                f"config.loss.shift={settings.shift} pixels to both sides of "
                f"{frames.shape[2]}x{frames.shape[3]} frames; lower it"
            )
        here, there = (
            draw_shifts(fold_name(key, name), len(frames), settings.shift)
            for name in ("encoder_shift", "decoder_shift")
        )
        batch["frames"], batch[SHOWN] = shift_frames(frames, here), shift_frames(frames, there)
        if mask:
            batch[mask] = shift_frames(batch[mask], there)
    return batch


def _check_mask(view: str, batch: Mapping[str, Any]) -> None:
    name, frames = f"frames_{view}", batch["frames"]
    if name not in batch:
        raise ConfigError(
            f"config.loss.mask={view!r} needs masks beside the frames: give config.data.views="
            f"('{view}',), for data that were prepared with them"
        )
    if batch[name].shape != (*frames.shape[:-1], 1):
        raise ConfigError(
            f"config.loss.mask={view!r}: the masks are {batch[name].shape[2:]} and frames "
            f"{frames.shape[2:]}; masks have the size of frames and one channel "
            "(config.data.resize=True brings both to one size)"
        )
