"""The latent action model: encoder -> quantiser -> prefix bottleneck -> decoder, and its config.

Dimension keys: B batch, T frames of a clip, P prefixes of one code, H W C image, K slots, D slot
width.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, SWITCH, either, one_of, several
from flexlam_jax.config.sections import as_dict, build_kind, check_keys
from flexlam_jax.config.settings import choice, defaults, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models import bottleneck
from flexlam_jax.models.attention import IMPLEMENTATIONS, resolve_implementation
from flexlam_jax.models.flow_decoder import PREDICTED, FlowDecoder
from flexlam_jax.models.flow_latents import LATENTS
from flexlam_jax.models.motion_decoder import MotionDecoder
from flexlam_jax.models.motion_encoder import MotionEncoder
from flexlam_jax.models.patches import POSITIONS
from flexlam_jax.models.quantizers import QUANTIZERS, Quantized
from flexlam_jax.models.transformer import REMAT_NAMES
from flexlam_jax.models.vector_decoder import VectorDecoder
from flexlam_jax.models.vector_encoder import VectorEncoder
from flexlam_jax.models.vit_decoder import VitDecoder
from flexlam_jax.models.vit_encoder import VitEncoder

ENCODERS = {"vit": VitEncoder, "motion": MotionEncoder, "vector": VectorEncoder}
DECODERS = {
    "vit": VitDecoder,
    "motion": MotionDecoder,
    "vector": VectorDecoder,
    "flow": FlowDecoder,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class FrameSettings:
    """What the `model` section of every model that looks at frames begins with."""

    image_size: int | tuple[int, int] = setting(
        64,
        range=either(COUNT, several(COUNT, 2)),
        help="pixels of a side, or (height, width)",
        required=True,
    )
    channels: int = setting(3, range=COUNT, help="of the frames")


@dataclasses.dataclass(frozen=True)
class LamSettings(FrameSettings):
    """The `model` section of a config; what `build_lam` reads."""

    slots: int = setting(None, range=COUNT, help="latent slots K", required=True)
    encoder: Any = choice(ENCODERS, help="reads a pair of frames")
    quantizer: Any = choice(QUANTIZERS, help="makes slots discrete")
    decoder: Any = choice(DECODERS, help="predicts the next frame")
    keep: Any = choice(
        bottleneck.SAMPLERS, default="uniform", help="how many slots a training sample keeps"
    )
    prefixes: int = setting(
        1, range=COUNT, help="prefixes of each code that a training step decodes"
    )
    further_keep: Any = choice(
        bottleneck.FURTHER_SAMPLERS, default="same", help="sampler of all prefixes but the first"
    )
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")
    remat: str = setting("none", range=one_of(REMAT_NAMES), help="what is computed twice")
    unroll: bool = setting(False, range=SWITCH, help="no loop over blocks in the program")
    attention: str = setting("auto", range=one_of(IMPLEMENTATIONS), help="which kernel")
    residual: bool = setting(True, range=SWITCH, help="the decoder's output is added to o_t")


@flax.struct.dataclass
class LamOutput:
    """What a pass gives.

    prediction: (B, T-1, H, W, C) float32 on the [0, 1] scale, or (B, T-1, P, H, W, C) where P
      prefixes were asked for; None where a flow was trained.
    slots: (B, T-1, K, D) quantised, before null-fill.  ids: (B, T-1, K) int32 or None.
    losses: (B, T-1, K), weighted by the share of prefixes that keep the slot: their means are added
      to the reconstruction loss.
    stats: scalars.
    error: of a flow that is trained, (B, T-1) or (B, T-1, P)."""

    prediction: jax.Array | None
    slots: jax.Array
    ids: jax.Array | None
    losses: dict[str, jax.Array]
    stats: dict[str, jax.Array]
    error: jax.Array | None = None


class LatentActionModel(nn.Module):
    """Built by `build_lam`. Variables: "params", and "codebook" for the VQ quantiser.

    rngs: "sample" (Gaussian, train only), "revive" (VQ, train with a mutable "codebook"), and "flow"
    for the error of a flow. With `residual` the decoder's output is added to o_t.
    """

    encoder: nn.Module
    quantizer: nn.Module
    decoder: nn.Module
    slots: int
    residual: bool = True

    def setup(self) -> None:
        init = nn.initializers.truncated_normal(0.02)
        self.null = self.param("null", init, (self.quantizer.width,), jnp.float32)

    def __call__(
        self, frames: jax.Array, keep: jax.Array | None = None, train: bool = False
    ) -> LamOutput:
        """Encodes every transition of a clip once, and decodes one or several prefixes of it.

        Args:
          frames: uint8, or float in [0, 1], (B, T, H, W, C), T >= 2.
          keep: slots to keep, int (B,), (B, T-1) or (B, T-1, P); None = all K.
          train: sample Gaussian slots, move the VQ codebook.

        Raises ValueError for a clip of fewer than two frames or frames of another type.
        """
        frames = to_float(frames)
        # Parameters are all made by what training runs.
        o_next = frames[:, 1:] if train or self.is_initializing() else None
        return self.reconstruct(frames[:, :-1], self.quantise(frames, train), keep, o_next)

    @property
    def learns_flow(self) -> bool:
        """Whether the decoder is trained by an error of its own, not by its prediction."""
        return isinstance(self.decoder, FlowDecoder)

    def reconstruct(
        self,
        o_t: jax.Array,
        quantized: Quantized,
        keep: jax.Array | None = None,
        o_next: jax.Array | None = None,
    ) -> LamOutput:
        """Decodes one or several prefixes of the codes of every transition.

        Args:
          o_t: float frames in [0, 1] that the codes are applied to, (B, T-1, H, W, C).
          quantized: of (B, T-1, K, D).
          keep: as `__call__`.
          o_next: like o_t, what a flow is trained on; other decoders do not read it.
        """
        slots = sent = quantized.values
        keep = jnp.asarray(self.slots if keep is None else keep)
        shown = o_t
        if keep.ndim == 3:  # P behind B and T: rows of a device stay its own.
            shown, sent = (
                jnp.broadcast_to(x[:, :, None], (*keep.shape, *x.shape[2:])) for x in (o_t, slots)
            )
        prediction, error, stats = None, None, quantized.stats
        if self.learns_flow and o_next is not None:
            error, size = self._flow_error(o_t, self.null_fill(sent, keep), o_next)
            stats = {**stats, PREDICTED: size}
        else:
            prediction = self.decode(shown, self.null_fill(sent, keep))
        losses = {
            name: self._of_kept_slots(x, self._expand(keep, sent))
            for name, x in quantized.losses.items()
        }
        return LamOutput(prediction, slots, quantized.ids, losses, stats, error)

    def _flow_error(self, o_t, slots, o_next):
        """`learn` of the decoder, of frames (B, T-1, H, W, C) and null-filled slots (B, T-1, K, D) or
        (B, T-1, P, K, D)."""
        o_t, o_next = (x.reshape(-1, *x.shape[2:]) for x in (o_t, o_next))
        error, size = self.decoder.learn(o_t, slots.reshape(-1, *slots.shape[-2:]), o_next)
        return error.reshape(slots.shape[:-2]), size

    def _of_kept_slots(self, loss, keep):
        """Slots that are not transmitted must not be pulled by the quantiser's losses either."""
        kept = bottleneck.prefix_mask(keep, self.slots)
        if keep.ndim == 2:
            return jnp.where(kept, loss, 0.0)
        return loss * kept.mean(2)

    def encode(self, frames: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """frames (B, T, H, W, C) -> slots (B, T-1, K, D), ids (B, T-1, K) or None."""
        quantized = self.quantise(frames)
        return quantized.values, quantized.ids

    def decode(self, o_t: jax.Array, slots: jax.Array) -> jax.Array:
        """Prediction of o_{t+1}, float32 (..., H, W, C), not clipped to [0, 1].

        Args:
          o_t: (..., H, W, C), uint8, or float in [0, 1].
          slots: null-filled, (..., K, D).
        """
        o_t = to_float(o_t)
        batch = o_t.shape[:-3]
        rows = o_t.reshape(-1, *o_t.shape[-3:]), slots.reshape(-1, *slots.shape[-2:])
        if self.learns_flow:  # It adds o_t itself, where its flow is.
            return self.decoder(*rows, self.null).reshape(o_t.shape)
        change = self.decoder(*rows)
        change = change.reshape(*batch, *change.shape[-3:])
        return o_t + change if self.residual else change

    def null_fill(self, slots: jax.Array, keep: jax.Array) -> jax.Array:
        """bottleneck.null_fill with the model's null; keep (B,) also serves (B, T-1, K, D)."""
        return bottleneck.null_fill(slots, self._expand(keep, slots), self.null)

    def ids_to_values(self, ids: jax.Array) -> jax.Array:
        """ids (..., K) -> slots (..., K, D); raises ValueError for continuous slots."""
        return self.quantizer.ids_to_values(ids)

    def quantise(self, frames: jax.Array, train: bool = False) -> Quantized:
        """The codes (B, T-1, K, D) of every transition; arguments and errors as `__call__`."""
        frames = to_float(frames)
        if frames.ndim != 5 or frames.shape[1] < 2:
            raise ValueError(
                f"frames have shape {frames.shape}; expected (B, T, H, W, C) with at least two"
                " frames"
            )
        return self.quantizer(self.encoder(frames), train)

    def _expand(self, keep, slots):
        """Broadcasts keep (), (B,), (B, T-1) or (B, T-1, P) to the leading axes of slots."""
        keep = jnp.asarray(keep)
        batch = slots.shape[:-2]
        return jnp.broadcast_to(keep.reshape(keep.shape + (1,) * (len(batch) - keep.ndim)), batch)


def resolve_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `model` section with defaults; raises ConfigError for unknown or missing keys."""
    given = as_dict("model", config)
    known = defaults(LamSettings)
    check_keys("model", given, known)
    settings = {**known, **given}
    missing = [key for key, value in settings.items() if value is None]
    if missing:
        raise ConfigError(f"the model config lacks the keys {missing}")
    return settings


def frame_shape(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(height, width, channels) of the frames that the `model` section of a config asks for."""
    size = config.get("image_size", 64)
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width), int(config.get("channels", 3))


def build_lam(config: Mapping[str, Any]) -> LatentActionModel:
    """Builds the model from the `model` section of a config.

    Its keys are the fields of LamSettings.

    Raises:
      ConfigError: unknown key or kind (the message names it and the valid ones), a missing key, or
        sizes that do not divide.
    """
    settings = resolve_config(config)
    if settings["dtype"] not in DTYPES:
        raise _unknown("dtype", settings["dtype"], tuple(DTYPES))
    if settings["remat"] not in REMAT_NAMES:
        raise _unknown("remat", settings["remat"], REMAT_NAMES)
    dtype, size = DTYPES[settings["dtype"]], settings["image_size"]
    resolve_implementation(settings["attention"], dtype)
    bottleneck.prefix_samplers(settings)
    shared = {
        "image_size": size if isinstance(size, int) else tuple(size),
        "slots": settings["slots"],
        "dtype": dtype,
        "image_channels": settings["channels"],
        **{key: settings[key] for key in ("residual", "remat", "unroll", "attention")},
    }
    quantizer = build_kind("model.quantizer", settings["quantizer"], QUANTIZERS)
    encoder = build_kind(
        "model.encoder", settings["encoder"], ENCODERS, features=quantizer.input_width, **shared
    )
    decoder = _build_decoder(settings["decoder"], shared)
    for section, part in (("model.encoder", encoder), ("model.decoder", decoder)):
        if isinstance(part, (VitEncoder, VitDecoder)):
            _check_vit(section, part)
    return LatentActionModel(
        encoder=encoder,
        quantizer=quantizer,
        decoder=decoder,
        slots=settings["slots"],
        residual=settings["residual"],
    )


def _build_decoder(config: Any, shared: dict[str, Any]) -> Any:
    """As `build_kind`; what a flow predicts is a kind within a kind."""
    section = as_dict("model.decoder", config)
    if section.get("kind") != "flow":
        return build_kind("model.decoder", section, DECODERS, **shared)
    latents = section.pop("latents", {"kind": "pixels"})
    latents = build_kind("model.decoder.latents", latents, LATENTS)
    decoder = build_kind("model.decoder", section, DECODERS, latents=latents, **shared)
    decoder.check()
    return decoder


def _check_vit(section: str, part: Any) -> None:
    """Raises ConfigError for sizes that do not divide one another."""
    if part.width % part.block.heads:
        raise ConfigError(
            f"{section}.width={part.width} is not divisible by {section}.heads={part.block.heads}"
        )
    height, width = (part.image_size,) * 2 if isinstance(part.image_size, int) else part.image_size
    if height % part.patch or width % part.patch:
        raise ConfigError(
            f"{section}.patch={part.patch} does not divide model.image_size, {height}x{width}"
        )
    if part.positions not in POSITIONS:
        raise _unknown(f"{section[6:]}.positions", part.positions, POSITIONS)
    if part.positions == "sincos" and part.width % 4:
        raise ConfigError(f"{section}.width={part.width} is no multiple of 4, as 'sincos' needs")


def _unknown(key, value, valid):
    return ConfigError(f"model.{key}={value!r} is unknown; choose one of {valid}")
