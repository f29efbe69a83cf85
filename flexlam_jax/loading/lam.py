"""A trained latent action model, for people who never read the training code.

    lam = flexlam_jax.load(path)               # work directory or its checkpoints folder
    codes = lam.encode(o_t, o_next, keep=4)    # null-filled slots (B, K, D)
    frames = lam.decode(o_t, codes)            # what the code says happens next, in [0, 1]
    ids = lam.tokens(o_t, o_next, keep=4)      # (B, K) int32, suffix = lam.null_id
    codes = lam.encode(o_t, o_next, keep="auto", tolerance=0.2)    # slots where they are needed

Parameters only: optimizer state and data position of a checkpoint are never read.

Dimension keys: B batch, H W C image, K slots, D slot width.
"""

import copy
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.checkpoints.subtrees import subtree
from flexlam_jax.config.settings import read
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.loading import gain
from flexlam_jax.loading.actions import Actions
from flexlam_jax.loading.buckets import Array, in_buckets
from flexlam_jax.loading.lam_programs import programs_of
from flexlam_jax.models.bottleneck import trained_budgets
from flexlam_jax.models.flow_decoder import SamplingSettings
from flexlam_jax.models.gain_head import least_budget
from flexlam_jax.models.heads import DETACHED_HEADS, HEAD_STATE, HEADS
from flexlam_jax.models.lam import LatentActionModel, build_lam, frame_shape


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedLam":
    """The model of a run; see `flexlam_jax.load`, whose arguments and errors these are."""
    # Heads of other terms of the loss served training, whoever's they are.
    variables, config, step = restore_params(
        path,
        lambda config: expected_variables(config, path),
        step,
        beside=(HEADS, DETACHED_HEADS),
        without=(HEADS,),
    )
    variables = jax.device_put(variables, jax.local_devices()[0])
    return LoadedLam(build_lam(config["model"]), variables, config, step)


def expected_variables(config: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """The abstract variables of the model of a config, with the head that `keep="auto"` reads.

    Raises:
      CheckpointError: the config, of the checkpoint in `path`, is that of no such model.
    """
    model = build_lam(_model_section(config, path))
    shape = frame_shape(config["model"])
    clip = jax.ShapeDtypeStruct((1, 2, *shape), jnp.uint8)
    variables = dict(jax.eval_shape(model.init, jax.random.key(0), clip))
    params = gain.expected_params(config, model, shape, variables["params"])
    return {**variables, "params": params}


def _model_section(config, path):
    section = config.get("model") if hasattr(config, "get") else None
    needed = {"slots", "encoder", "decoder", "quantizer"}
    if not hasattr(section, "get") or not needed <= set(section):
        raise CheckpointError(
            f"the checkpoint in {path} is not a latent action model: its config has no 'model' "
            "section with slots, encoder, quantizer and decoder. Load it with the code of its own "
            "experiment"
        )
    return section


class LoadedLam:
    """A latent action model with its parameters. Made by `flexlam_jax.load`.

    Frames are uint8 (H, W, C) or (B, H, W, C), numpy or jax; results are arrays of the kind that
    was given, without the batch axis if the input had none. Inside a caller's own `jit` the methods
    trace straight through (values, such as the range of `keep`, are then not checked).

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      slots, slot_width: K and D.                  frame_shape: (H, W, C).
      codebook_size: codes per slot; None if the slots are continuous.
      levels: values of each digit of a code, the least significant first; () where codes have none.
      null_id: token id of a slot that is not kept (= codebook_size).
      bits_per_slot: log2 of the codebook size, or None.
      budgets: the prefix lengths that training drew, N of them; others were never trained.
      chooses: whether keep="auto" works, that is, training had loss.gain.
      actions: what its codes were shown to mean; there on models that `flexlam_jax.load` gave.
    """

    actions: Actions

    def __init__(
        self,
        model: LatentActionModel,
        variables: Mapping[str, Any],
        config: dict[str, Any],
        step: int,
    ):
        self.config, self.step = config, step
        self.frame_shape = frame_shape(config["model"])
        self.slots, self.slot_width = model.slots, model.quantizer.width
        self.codebook_size = model.quantizer.codebook_size
        self.levels = tuple(getattr(model.quantizer, "levels", ()))
        self.bits_per_slot = model.quantizer.bits_per_slot
        self.null_id = self.codebook_size
        self.null = np.asarray(variables["params"]["null"], np.float32)
        self.budgets = trained_budgets(config["model"])
        self._gain = subtree(variables["params"], gain.PATH)
        model_alone = {
            name: part
            for name, part in variables["params"].items()
            if name not in (HEADS, DETACHED_HEADS)
        }
        rest = {name: part for name, part in variables.items() if name != HEAD_STATE}
        self._variables = {**rest, "params": model_alone}
        self.chooses = self._gain is not None
        self.programs = programs_of(config["model"])

    def encode(
        self,
        o_t: Array,
        o_next: Array,
        keep: int | Array | str | None = None,
        tolerance: float | None = None,
    ) -> Array:
        """Latent action of the transition o_t -> o_next.

        Args:
          o_t, o_next: frames, see the class.
          keep: None for all K slots as they are; or a prefix length, int or (B,) ints in 0..K, from
            which on slots are replaced by the null latent; or "auto" for what `budget` says.
          tolerance: dB, for keep="auto" and nothing else.

        Returns:
          (B, K, D) float32.

        Raises:
          ValueError: wrong type, size or number of frames, keep outside 0..K, or no tolerance from
            0 where there should be one.
          CheckpointError (a ValueError): keep="auto" and a checkpoint without the head for it.
        """
        self._check_auto(keep, tolerance)
        slots, _ = self._encode_pair(o_t, o_next)
        if isinstance(keep, str):
            keep = self._least(slots, o_t, o_next, tolerance)
        return slots if keep is None else self.null_fill(slots, keep)

    def budget(self, o_t: Array, o_next: Array, tolerance: float) -> Array:
        """How many slots each transition needs, int32 (B,): the least of `budgets` whose predicted
        PSNR is at most `tolerance` dB below that of the longest; see `shortfall`.

        Raises:
          ValueError, CheckpointError: as `encode`.
        """
        self._check_auto("auto", tolerance)
        slots, _ = self._encode_pair(o_t, o_next)
        return self._least(slots, o_t, o_next, tolerance)

    def shortfall(self, slots: Array, o_t: Array, o_next: Array) -> Array:
        """Predicted dB of PSNR that each of `budgets` lacks to the longest, float32 (B, N).

        The mean, as far as the head can tell, of 10 log10(MSE_k / MSE_longest) of this transition's
        reconstructions. It falls with the budget, and the last entry is 0. Where no transition lacks
        more than x dB, neither does the PSNR of their mean squared error.

        Args:
          slots: all K as `encode` gives them, (B, K, D).

        Raises:
          ValueError, CheckpointError: as `encode`.
        """
        gain.check_head(self._gain)
        slots = self._check_codes(slots, "shortfall")
        o_t, o_next = self._check_frames(o_t, "o_t"), self._check_frames(o_next, "o_next")
        batched = o_t.ndim == 4
        given = (slots, o_t, o_next)
        return in_buckets(
            functools.partial(gain.predicted_shortfall, self.budgets, self._gain),
            given if batched else tuple(x[None] for x in given),
            batched,
        )

    def tokens(
        self,
        o_t: Array,
        o_next: Array,
        keep: int | Array | str | None = None,
        tolerance: float | None = None,
    ) -> Array:
        """Token ids (B, K) int32 in 0..codebook_size-1; slots that are not kept read `null_id`.

        Args: as `encode`.

        Raises:
          ValueError: as `encode`; or the model's slots are continuous.
        """
        self._check_discrete("tokens")
        self._check_auto(keep, tolerance)
        slots, ids = self._encode_pair(o_t, o_next)
        if keep is None:
            return ids
        if isinstance(keep, str):
            keep = self._least(slots, o_t, o_next, tolerance)
        xp = np if isinstance(ids, np.ndarray) else jnp
        keep = xp.asarray(self._check_keep(keep, ids.shape[:-1]))
        return xp.where(xp.arange(self.slots) < keep[..., None], ids, xp.int32(self.null_id))

    def slots_of(self, ids: Array) -> Array:
        """Null-filled slots (B, K, D) of token ids (B, K) or (K,), as `tokens` gives them.

        Raises:
          ValueError: ids of another type or shape, or outside 0..null_id; or the model's slots are
            continuous.
        """
        ids = self._check_ids(_array(ids))
        batched = ids.ndim == 2
        function = functools.partial(self.programs.slots_of, self._variables)
        return in_buckets(function, (ids if batched else ids[None],), batched)

    def encode_with_ids(self, o_t: Array, o_next: Array) -> tuple[Array, Array | None]:
        """All slots (B, K, D) and ids (B, K) (None if continuous) in one pass of the encoder."""
        return self._encode_pair(o_t, o_next)

    def null_fill(self, codes: Array, keep: int | Array) -> Array:
        """Slots (B, K, D) with every slot from `keep` (int or (B,)) on set to the null latent."""
        codes = self._check_codes(codes, "null_fill")
        batched = codes.ndim == 3
        keep = self._check_keep(keep, codes.shape[:-2])
        keep = keep if batched else keep[None]
        return in_buckets(
            functools.partial(self.programs.null_fill, self._variables),
            (codes if batched else codes[None], keep),
            batched,
        )

    def decode(self, o_t: Array, codes: Array) -> Array:
        """Predicted next frame, float32 in [0, 1], (B, H, W, C), from o_t and null-filled slots.

        Raises:
          ValueError: wrong type or size, NaN in the codes, or batch sizes that differ.
        """
        o_t, codes = self._check_frames(o_t, "o_t"), self._check_codes(codes, "decode")
        batched = o_t.ndim == 4
        if batched != (codes.ndim == 3) or (batched and len(o_t) != len(codes)):
            raise ValueError(
                f"decode: o_t {o_t.shape} and codes {codes.shape} must both be single "
                "or have the same batch size"
            )
        return in_buckets(
            functools.partial(self.programs.decode, self._variables),
            (o_t, codes) if batched else (o_t[None], codes[None]),
            batched,
        )

    @property
    def variables(self) -> Mapping[str, Any]:
        """What `programs` take first; for programs that hold more than this model."""
        return self._variables

    def placed(self, sharding: jax.sharding.Sharding) -> "LoadedLam":
        """The same model with its parameters placed by `sharding`, as whole on all local devices.

        Its methods then take jax.Arrays of 1, 8, 64 or 256 rows that live on the same devices.
        """
        other = copy.copy(self)
        other._variables = jax.device_put(self._variables, sharding)
        other._gain = jax.device_put(self._gain, sharding)
        return other

    def sampling(self, **settings: Any) -> "LoadedLam":
        """The same model, whose `decode` draws otherwise, for decoders that draw (kind "flow").

        Args:
          settings: of SamplingSettings: steps, sampler ("euler", "heun"), guidance (1 for none),
            seed (of the noise).

        Raises:
          ConfigError (a ValueError): other names or values, or a decoder that does not draw.
        """
        section = self.config["model"]["decoder"]
        if section["kind"] != "flow":
            raise ConfigError(
                f"sampling: the decoder of this model, {section['kind']!r}, draws nothing; one of kind "
                "'flow' does"
            )
        read("sampling", settings, SamplingSettings)
        model = {**self.config["model"], "decoder": {**section, **settings}}
        build_lam(model)  # Raises for settings that do not go together.
        other = copy.copy(self)
        other.config = {**self.config, "model": model}
        other.programs = programs_of(model)
        return other

    def fingerprint(self) -> str:
        """sha256 of the parameters, without those of heads: tells which model made a file of codes."""
        return parameters_hash(self._variables)

    def _least(self, slots, o_t, o_next, tolerance):
        return least_budget(self.shortfall(slots, o_t, o_next), self.budgets, tolerance)

    def _check_auto(self, keep, tolerance) -> None:
        if not isinstance(keep, str):
            if tolerance is not None:
                raise ValueError(f"tolerance={tolerance} is for keep='auto', and keep is {keep!r}")
        elif keep != "auto":
            raise ValueError(f"keep={keep!r}: give a number of slots, 'auto' or None")
        else:
            gain.check_head(self._gain)
            gain.check_tolerance(tolerance)

    def _encode_pair(self, o_t, o_next):
        o_t, o_next = self._check_frames(o_t, "o_t"), self._check_frames(o_next, "o_next")
        if o_t.shape != o_next.shape:
            raise ValueError(f"encode: o_t {o_t.shape} and o_next {o_next.shape} differ in shape")
        batched = o_t.ndim == 4
        return in_buckets(
            functools.partial(self.programs.encode, self._variables),
            (o_t, o_next) if batched else (o_t[None], o_next[None]),
            batched,
        )

    def _check_frames(self, frames, name: str):
        frames = _array(frames)
        if frames.dtype != jnp.uint8:
            raise ValueError(
                f"{name} is {frames.dtype}; frames must be uint8 in 0..255 "
                "(for floats in [0, 1]: np.rint(255 * x).astype(np.uint8), free of NaN)"
            )
        if frames.shape[-3:] != self.frame_shape or frames.ndim not in (3, 4):
            height, width, channels = self.frame_shape
            raise ValueError(
                f"{name} has shape {frames.shape}; this model reads ({height}, {width}, {channels})"
                f" or (B, {height}, {width}, {channels}). Resize the frames as its training data "
                "were"
            )
        if frames.ndim == 4 and not len(frames):
            raise ValueError(f"{name} is an empty batch, shape {frames.shape}")
        return frames

    def _check_codes(self, codes, name: str):
        codes = _array(codes)
        if not jnp.issubdtype(codes.dtype, jnp.floating):
            raise ValueError(
                f"{name}: codes are {codes.dtype}; they must be float slots from encode"
            )
        if codes.ndim not in (2, 3) or codes.shape[-2:] != (self.slots, self.slot_width):
            raise ValueError(
                f"{name}: codes have shape {codes.shape}; this model's are "
                f"({self.slots}, {self.slot_width}) or (B, {self.slots}, {self.slot_width})"
            )
        if codes.ndim == 3 and not len(codes):
            raise ValueError(f"{name}: codes are an empty batch, shape {codes.shape}")
        if isinstance(codes, np.ndarray):
            codes = codes.astype(np.float32, copy=False)
            if not np.isfinite(codes).all():
                raise ValueError(f"{name}: codes hold NaN or infinity")
        elif not isinstance(codes, jax.core.Tracer) and not bool(jnp.isfinite(codes).all()):
            raise ValueError(f"{name}: codes hold NaN or infinity")
        return codes

    def _check_discrete(self, name: str):
        if self.codebook_size is None:
            kind = self.config["model"]["quantizer"]["kind"]
            raise ValueError(
                f"{name}: this model's slots are continuous (quantizer {kind!r}) and have "
                "no ids; use encode, or train with quantizer kind 'fsq' or 'vq'"
            )

    def _check_ids(self, ids):
        self._check_discrete("slots_of")
        integers = jnp.issubdtype(ids.dtype, jnp.integer)
        if not integers or ids.ndim not in (1, 2) or ids.shape[-1] != self.slots or not len(ids):
            raise ValueError(
                f"slots_of: ids are {ids.dtype} of shape {ids.shape}; they must be integers of "
                f"shape ({self.slots},) or (B, {self.slots})"
            )
        if not isinstance(ids, jax.core.Tracer) and not (
            0 <= ids.min() <= ids.max() <= self.null_id
        ):
            raise ValueError(
                f"slots_of: ids span {ids.min()}..{ids.max()}; this model has codes 0.."
                f"{self.null_id - 1}, and {self.null_id} for a slot that is not kept"
            )
        return ids

    def _check_keep(self, keep, batch_shape: tuple[int, ...]):
        if isinstance(keep, jax.core.Tracer):
            return jnp.broadcast_to(keep, batch_shape).astype(jnp.int32)
        array = np.asarray(keep)
        if not np.issubdtype(array.dtype, np.integer) or array.shape not in ((), batch_shape):
            raise ValueError(
                f"keep must be an integer or integers of shape {batch_shape}; "
                f"got {array.dtype} of shape {array.shape}"
            )
        if array.size and (array.min() < 0 or array.max() > self.slots):
            raise ValueError(
                f"keep spans {array.min()}..{array.max()}; this model has {self.slots} "
                f"slots, so 0..{self.slots} are possible"
            )
        return np.broadcast_to(array, batch_shape).astype(np.int32)


def _array(value):
    return value if isinstance(value, jax.Array) else np.asarray(value)
