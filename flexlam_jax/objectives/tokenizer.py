"""The objective of a video tokenizer: frames from their own tokens.

Dimension keys: B rows, T frames of a clip, H W C image, N tokens of a frame, V codes.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import one_of, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.flops import program_flops, with_plain_attention
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.tokenizer import Tokenizer, TokenizerOutput, TokenizerSettings
from flexlam_jax.objectives.code_usage import code_counts, usage_metrics
from flexlam_jax.objectives.objective import Batch, Mean, Objective
from flexlam_jax.objectives.reconstruction import PIXEL_LOSSES, check_levels, psnr
from flexlam_jax.objectives.remedies.pixels import pixel_loss
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class TokenizerLossSettings:
    """The `loss` section of a config."""

    pixel: str = setting("mse", range=one_of(tuple(PIXEL_LOSSES)), help="loss of a pixel")
    multiscale: float = setting(0.0, range=real(0), help="weight of the same on pooled frames")


def tokenizer_objective(
    model: Tokenizer,
    config: Mapping[str, Any],
    loss: Mapping[str, Any] | None = None,
    *,
    clip_length: int,
) -> Objective:
    """Builds the Objective of `build_tokenizer(config)`.

    It reads batch["frames"] uint8 (B, T, H, W, C). Metrics (float32 scalars): loss, reconstruction,
    the quantiser's losses and stats, psnr, and, of all tokens of the batch, code_usage, the share of
    the V codes that is met, and code_perplexity.

    Args:
      config: the `model` section.
      loss: the `loss` section, see TokenizerLossSettings.
      clip_length: frames T of a row.

    Raises:
      ConfigError: a key that is unknown or out of its range, or frames that multiscale cannot halve;
        from `init`, frames of other channels.
    """
    settings = read("model", config, TokenizerSettings)
    loss_settings = read("loss", loss, TokenizerLossSettings)
    clip = (clip_length, *frame_shape(config))
    if loss_settings.multiscale:
        check_levels(clip[1:3])
    return objective_of(
        functools.partial(_init, model, settings.channels),
        functools.partial(_apply, model),
        [
            Term("reconstruction", functools.partial(_reconstruction, loss_settings)),
            *map(_quantiser_term, model.quantizer.loss_names),
        ],
        report=functools.partial(_report, model.quantizer.codebook_size),
        summary=lambda totals: usage_metrics(totals["code_counts"]),
        flops_per_row=_row_flops(model, clip),
        transitions_per_row=clip_length - 1,
        dtype=settings.dtype,
    )


def _init(model: Tokenizer, channels: int, key: jax.Array, batch: Batch) -> dict[str, Any]:
    if batch["frames"].shape[-1] != channels:
        raise ConfigError(
            f"model.channels={channels} but the data has frames of {batch['frames'].shape[-1]}"
        )
    # One frame of one row is enough to fix every shape.
    return dict(model.init(fold_name(key, "params"), batch["frames"][:1, :1]))


def _apply(
    model: Tokenizer, params: Any, extra: Any, batch: Batch, key: jax.Array
) -> tuple[TokenizerOutput, Any]:
    return model.apply(
        {"params": params, **extra},
        batch["frames"],
        train=True,
        rngs={"revive": fold_name(key, "revive")},
        mutable=list(extra),
    )


def _reconstruction(
    settings: TokenizerLossSettings, params: Any, output: TokenizerOutput, batch: Batch, key: Any
) -> Mean:
    return pixel_loss(settings, output.prediction, to_float(batch["frames"]))


def _quantiser_term(name: str) -> Term:
    # Weighted by the quantiser.
    return Term(name, lambda params, output, batch, key: Mean.of(output.tokens.losses[name]))


def _report(codes: int, output: TokenizerOutput, batch: Batch) -> Report:
    metrics = {
        "psnr": psnr(output.prediction, to_float(batch["frames"])),
        **{name: Mean(value, jnp.float32(1)) for name, value in output.tokens.stats.items()},
    }
    # All places of a frame share one codebook.
    return Report(metrics, {"code_counts": code_counts(output.tokens.ids[..., None], codes)})


def _row_flops(model: Tokenizer, clip: tuple[int, int, int, int]) -> float:
    """FLOPs of forward and backward pass of one clip (T, H, W, C), as `flops.training_flops`."""
    plain, frames = with_plain_attention(model), jax.ShapeDtypeStruct((1, *clip), jnp.uint8)
    variables = jax.eval_shape(plain.init, jax.random.key(0), frames)

    def predict(variables: Any, frames: jax.Array) -> jax.Array:
        return plain.apply(variables, frames).prediction

    return 3.0 * program_flops(predict, variables, frames)
