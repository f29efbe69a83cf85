"""The objective of a latent action model: o_{t+1} from o_t and a random prefix of the slots."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.sections import as_dict, check_keys
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.bottleneck import sample_keep
from flexlam_jax.models.flops import training_flops
from flexlam_jax.models.lam import LatentActionModel, resolve_config
from flexlam_jax.objectives.code_usage import usage_metrics
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.objectives.reconstruction import PIXEL_LOSSES, multiscale, psnr
from flexlam_jax.random import fold_name

DEFAULTS: dict[str, Any] = {"pixel": "mse", "multiscale": 0.0}


def lam_objective(
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    loss_config: Mapping[str, Any] | None = None,
    *,
    clip_length: int = 2,
) -> Objective:
    """Builds the Objective of a LAM.

    Args:
      model: from build_lam(model_config).
      model_config: the `model` section of the config.
      loss_config: {'pixel': 'mse' | 'l1', 'multiscale': weight of the multi-scale term}.
      clip_length: frames per batch row, for flops_per_example.

    Returns:
      Objective whose loss reads batch["frames"] uint8 (B, T, H, W, C) and draws one `keep` per
      transition.
      Metrics (float32 scalars): loss, reconstruction, psnr, copy_psnr (prediction := o_t), the
      quantiser's losses and stats, and for discrete codes code_usage and code_perplexity.

    Raises:
      ConfigError: unknown loss key or pixel loss.
    """
    settings = resolve_config(model_config)
    loss_settings = as_dict("loss", loss_config or {})
    check_keys("loss", loss_settings, DEFAULTS)
    loss_settings = {**DEFAULTS, **loss_settings}
    if loss_settings["pixel"] not in PIXEL_LOSSES:
        raise ConfigError(
            f"loss.pixel={loss_settings['pixel']!r} is unknown; choose one of"
            f" {sorted(PIXEL_LOSSES)}"
        )

    def init(rng: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, Any]:
        channels = batch["frames"].shape[-1]
        if channels != settings["channels"]:
            raise ConfigError(
                f"model.channels={settings['channels']} but the data has frames of {channels}"
            )
        # Two frames of one row are enough to fix every shape.
        return dict(model.init(fold_name(rng, "params"), batch["frames"][:1, :2]))

    def loss(params, extra, batch, rng):
        frames = batch["frames"]
        keep = sample_keep(
            fold_name(rng, "keep"),
            settings["keep"],
            (frames.shape[0], frames.shape[1] - 1),
            slots=settings["slots"],
        )
        output, extra = model.apply(
            {"params": params, **extra},
            frames,
            keep,
            train=True,
            rngs={name: fold_name(rng, name) for name in ("sample", "revive")},
            mutable=list(extra),
        )
        target = to_float(frames[:, 1:])
        reconstruction = _reconstruction(output.prediction, target, loss_settings)
        total = reconstruction + sum(output.losses.values())
        metrics = {
            "loss": total,
            "reconstruction": reconstruction,
            "psnr": psnr(output.prediction, target),
            "copy_psnr": psnr(to_float(frames[:, :-1]), target),
            "keep": jnp.mean(keep.astype(jnp.float32)),
            **output.losses,
            **output.stats,
        }
        if output.ids is not None:
            metrics |= usage_metrics(output.ids, model.quantizer.codebook_size)
        return total, (metrics, extra)

    return Objective(init=init, loss=loss, flops_per_example=training_flops(settings, clip_length))


def _reconstruction(prediction, target, settings):
    pixel = PIXEL_LOSSES[settings["pixel"]]
    value = pixel(prediction, target)
    if settings["multiscale"]:
        value = value + settings["multiscale"] * multiscale(pixel, prediction, target)
    return value
