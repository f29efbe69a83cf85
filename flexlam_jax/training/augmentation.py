"""Augmentation of video batches on the device: pure functions of (frames, key), traced by jit.

Every clip gets one draw for all of its frames, so motion in the clip stays the motion that was
filmed, at the scale of the crop. Dimension keys: B clips, T frames, H W C image.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import interval, real, whole
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import from_float, to_float
from flexlam_jax.random import fold_name

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_COLOURLESS = ("_mask", "_depth")  # ends of the keys of what tells of pixels and is no picture
Augment = Callable[[Mapping[str, Any], jax.Array], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class AugmentationSettings:
    """What is drawn for each clip, in training only; the defaults change nothing."""

    crop_scale: tuple[float, float] = setting(
        (1.0, 1.0),
        range=interval(real(0, 1, above=True)),
        help="share of the image's area that a crop keeps",
    )
    crop_aspect: tuple[float, float] = setting(
        (1.0, 1.0), range=interval(real(0, above=True)), help="width over height of a crop"
    )
    shift: int = setting(0, range=whole(0, 64), help="pixels of random translation")
    brightness: float = setting(0.0, range=real(0, 1), help="a factor in 1 +- this")
    contrast: float = setting(0.0, range=real(0, 1), help="a factor in 1 +- this")
    saturation: float = setting(0.0, range=real(0, 1), help="a factor in 1 +- this")
    hue: float = setting(0.0, range=real(0, 0.5), help="turns of the colour wheel, to both sides")


def make_augmentation(section: Mapping[str, Any] | None) -> Augment | None:
    """`augment(batch, key) -> batch` from the config's `augmentation` section; None if it is off.

    Changes batch["frames"] and what else is named frames_..., a pair or further cameras: uint8 or
    floats in [0, 1], (B, T, H, W, C). They share crop and shift in relative coordinates, so that
    scale and motion keep their relation; colours are drawn for each, but not for masks and depth.
    Streams of a batch draw for themselves. Draw it for the whole global batch: each row's numbers
    then depend on the key and the row's place in it, not on the number of devices.

    Raises:
      ConfigError: unknown key or a value out of range.
    """
    settings, off = read("augmentation", section, AugmentationSettings), AugmentationSettings()
    geometric = any(
        getattr(settings, k) != getattr(off, k) for k in ("crop_scale", "crop_aspect", "shift")
    )
    colour = settings.brightness or settings.contrast or settings.saturation or settings.hue
    if not geometric and not colour:
        return None

    def augment(batch: Mapping[str, Any], key: jax.Array) -> dict[str, Any]:
        out = dict(batch)
        for name in batch:
            if isinstance(batch[name], Mapping):
                out[name] = augment(batch[name], fold_name(key, f"stream {name}"))
                continue
            if name != "frames" and not name.startswith("frames_"):
                continue
            frames = to_float(batch[name])
            if geometric:
                box = random_boxes(fold_name(key, "box"), frames.shape[0], settings)
                frames = resample(frames, box, shift_pixels=settings.shift)
            if colour and not name.endswith(_COLOURLESS):
                frames = jitter(frames, fold_name(key, f"colour {name}"), settings)
            out[name] = from_float(frames, batch[name].dtype)
        return out

    return augment


def random_boxes(key: jax.Array, B: int, settings: AugmentationSettings) -> dict[str, jax.Array]:
    """One box per clip: height, width and top left corner as shares of the image, and a shift.

    float32 (B,) each; area uniform in crop_scale, aspect log-uniform in crop_aspect, and a box that
    would not fit is cut to the image. shift_y and shift_x are uniform in -1..1.
    """
    u = dict(
        zip(
            ("area", "aspect", "top", "left", "shift_y", "shift_x"),
            jax.random.uniform(key, (6, B)),
            strict=True,
        )
    )
    low, high = settings.crop_scale
    area = low + (high - low) * u["area"]
    log = jnp.log(jnp.asarray(settings.crop_aspect, jnp.float32))
    aspect = jnp.exp(log[0] + (log[1] - log[0]) * u["aspect"])
    height = jnp.minimum(1.0, jnp.sqrt(area / aspect))
    width = jnp.minimum(1.0, jnp.sqrt(area * aspect))
    return {
        "height": height,
        "width": width,
        "top": u["top"] * (1.0 - height),
        "left": u["left"] * (1.0 - width),
        "shift_y": 2.0 * u["shift_y"] - 1.0,
        "shift_x": 2.0 * u["shift_x"] - 1.0,
    }


def resample(
    frames: jax.Array, box: Mapping[str, jax.Array], *, shift_pixels: int = 0
) -> jax.Array:
    """Bilinear zoom of (B, T, H, W, C) into the boxes, then a shift by whole pixels.

    Rows and columns are two small matrix products, which accelerators prefer to gathers. A crop
    only ever enlarges, so no low-pass filter is needed; the shift repeats the edge (DrQ,
    arXiv 2004.13649).
    """
    H, W = frames.shape[2:4]
    rows = _weights(H, box["top"], box["height"], box["shift_y"], shift_pixels)
    columns = _weights(W, box["left"], box["width"], box["shift_x"], shift_pixels)
    exact = jax.lax.Precision.HIGHEST
    frames = jnp.einsum("bij,btjwc->btiwc", rows, frames, precision=exact)
    return jnp.einsum("bkw,btiwc->btikc", columns, frames, precision=exact)


def _weights(
    size: int, start: jax.Array, extent: jax.Array, shift: jax.Array, shift_pixels: int
) -> jax.Array:
    """(B, size, size): how much of input j is in output i, rows summing to 1."""
    # Uniform over -s..s; floor of a shift of exactly 1.0 is clipped.
    moved = jnp.floor((shift + 1.0) / 2.0 * (2 * shift_pixels + 1)) - shift_pixels
    moved = jnp.clip(moved, -shift_pixels, shift_pixels)
    output = jnp.clip(jnp.arange(size)[None] + moved[:, None], 0, size - 1)
    position = size * start[:, None] + (output + 0.5) * extent[:, None] - 0.5
    position = jnp.clip(position, 0.0, size - 1.0)
    return jnp.maximum(0.0, 1.0 - jnp.abs(position[..., None] - jnp.arange(size)))


def jitter(frames: jax.Array, key: jax.Array, settings: AugmentationSettings) -> jax.Array:
    """Brightness, contrast, saturation and hue, in this order, of RGB (B, T, H, W, 3) in [0, 1].

    Grey images, C = 1, take brightness and contrast only. Raises ConfigError for other settings.
    """
    strength = dataclasses.asdict(settings)
    strength = {name: strength[name] for name in ("brightness", "contrast", "saturation", "hue")}
    if frames.shape[-1] != 3 and (strength["saturation"] or strength["hue"]):
        raise ConfigError(
            f"augmentation.saturation and .hue need RGB frames, these have {frames.shape[-1]} channels"
        )
    draws = jax.random.uniform(key, (4, frames.shape[0], 1, 1, 1, 1), minval=-1.0, maxval=1.0)
    change = {name: strength[name] * draw for name, draw in zip(strength, draws, strict=True)}
    if strength["brightness"]:
        frames = frames * (1.0 + change["brightness"])
    if strength["contrast"]:
        # The mean of the whole clip: frames of their own means would flicker.
        mean = jnp.mean(frames, axis=(1, 2, 3, 4), keepdims=True)
        frames = mean + (frames - mean) * (1.0 + change["contrast"])
    if strength["saturation"] or strength["hue"]:
        frames = _turn_colours(frames, 1.0 + change["saturation"], 2 * jnp.pi * change["hue"])
    return frames


def _turn_colours(frames: jax.Array, gain: jax.Array, angle: jax.Array) -> jax.Array:
    """Scales and rotates the two colour axes of YIQ, leaving luma; gain and angle are (B,1,1,1,1)."""
    to_yiq = jnp.asarray(_YIQ, jnp.float32)
    exact = jax.lax.Precision.HIGHEST
    y, i, q = jnp.moveaxis(jnp.einsum("...c,dc->...d", frames, to_yiq, precision=exact), -1, 0)
    cos, sin = (gain * f(angle) for f in (jnp.cos, jnp.sin))
    cos, sin = cos[..., 0], sin[..., 0]
    turned = jnp.stack([y, cos * i - sin * q, sin * i + cos * q], axis=-1)
    return jnp.einsum("...d,cd->...c", turned, jnp.linalg.inv(to_yiq), precision=exact)
