"""A latent action model of vectors, for people who never read the training code.

    lam = flexlam_jax.load(path)               # work directory or its checkpoints folder
    codes = lam.encode(o_t, o_next, keep=2)    # vectors (B, S), raw: the columns lam.columns
    vectors = lam.decode(o_t, codes)           # what the code says comes next, raw, (B, S)

Dimension keys: B batch, S columns, H instants of history, K slots, D slot width.
"""

import copy
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.buckets import Array
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.models.heads import DETACHED_HEADS, HEADS
from flexlam_jax.models.lam import LatentActionModel, build_lam, frame_shape
from flexlam_jax.models.vector_windows import now
from flexlam_jax.models.vectors import read_vectors


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedVectorLam":
    """The model of a run of kind "vector_lam"; arguments and errors as `flexlam_jax.load`."""

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        model = _built(config, path)
        clip = jax.ShapeDtypeStruct((1, 2, *frame_shape(config["model"])), jnp.float32)
        return dict(jax.eval_shape(model.init, jax.random.key(0), clip))

    variables, config, step = restore_params(path, abstract, step, beside=(HEADS, DETACHED_HEADS))
    variables = jax.device_put(variables, jax.local_devices()[0])
    return LoadedVectorLam(_built(config, path), variables, config, step)


def _built(config: dict[str, Any], path: Any) -> LatentActionModel:
    if not {"model", "vectors"} <= set(config):
        raise CheckpointError(
            f"the config of the model of vectors in {path} lacks a section model or vectors; train "
            "it again with experiments.train"
        )
    return build_lam(config["model"])


class LoadedVectorLam(LoadedLam):
    """A `LoadedLam` whose observations are vectors.

    Where its methods take frames, this one takes vectors (S,) or (B, S) of the columns `columns`, in
    their own units; with a history also (B, H, S), the present last, where (B, S) says that
    nothing is known of what was before. Results are vectors (B, S) too.

    Attributes:
      columns: names of the S columns.      history: H.
      exogenous: those of the columns that the agent does not control, as the data said.
      units: how raw vectors become what the network sees; `normalised()` takes and gives those.
    """

    def __init__(
        self,
        model: LatentActionModel,
        variables: Mapping[str, Any],
        config: dict[str, Any],
        step: int,
    ):
        super().__init__(model, variables, config, step)
        settings, self.units = read_vectors(config["vectors"])
        if len(settings.columns) != self.frame_shape[0]:
            raise CheckpointError(
                f"the checkpoint's config names {len(settings.columns)} columns, and its model reads "
                f"{self.frame_shape[0]}; load a checkpoint that this package wrote"
            )
        self.columns, self.exogenous = tuple(settings.columns), tuple(settings.exogenous)
        self.history = settings.history

    def decode(self, o_t: Array, codes: Array) -> Array:
        """Predicted next vectors, float32 (B, S), raw, from o_t and null-filled slots.

        Raises:
          ValueError: as `encode`, NaN in the codes, or batch sizes that differ.
        """
        predicted = now(super().decode(o_t, codes))
        return self.units.back(predicted, np if isinstance(predicted, np.ndarray) else jnp)

    def normalised(self) -> "NormalisedVectorLam":
        """The same model, taking and giving frames (B, S, H, 1) in the network's units.

        What the evaluators of latent action models read: errors then count each column alike.
        """
        other: Any = copy.copy(self)
        other.__class__ = NormalisedVectorLam
        return other

    def frames_of(self, vectors: Array) -> Array:
        """Raw vectors, see the class, -> frames (S, H, 1) or (B, S, H, 1) in the network's units.

        Raises:
          ValueError: another type, number of columns or of instants, or NaN.
        """
        return self._check_frames(vectors, "vectors")

    def _check_frames(self, vectors: Array, name: str):
        if not isinstance(vectors, jax.Array):
            vectors = np.asarray(vectors)
        xp = np if isinstance(vectors, np.ndarray) else jnp
        S, H = len(self.columns), self.history
        shape = f"(B, {S})" if H == 1 else f"(B, {S}) or (B, {H}, {S})"
        if not jnp.issubdtype(vectors.dtype, jnp.floating):
            raise ValueError(
                f"{name} is {vectors.dtype}; this model reads vectors of floats {shape} of the "
                f"columns {', '.join(self.columns)}"
                + (", not pictures" if vectors.dtype == jnp.uint8 else "")
            )
        with_history = H > 1 and vectors.ndim == 3 and vectors.shape[1] == H
        if vectors.shape[-1:] != (S,) or not (vectors.ndim in (1, 2) or with_history):
            raise ValueError(
                f"{name} has shape {vectors.shape}; this model reads {shape}, the columns "
                f"{', '.join(self.columns)}"
            )
        if not vectors.size:
            raise ValueError(f"{name} is an empty batch, shape {vectors.shape}")
        if not isinstance(vectors, jax.core.Tracer) and not bool(xp.isfinite(vectors).all()):
            raise ValueError(f"{name} holds NaN or infinity")
        seen = self.units.of(vectors, xp)
        if not with_history:
            seen = xp.repeat(seen[..., None, :], H, -2)
        return xp.swapaxes(seen, -1, -2)[..., None]


class NormalisedVectorLam(LoadedVectorLam):
    """See `LoadedVectorLam.normalised`."""

    def decode(self, o_t: Array, codes: Array) -> Array:
        """Predicted next frames (B, S, H, 1), the last instant of which is new."""
        return LoadedLam.decode(self, o_t, codes)

    def _check_frames(self, frames: Array, name: str):
        if not isinstance(frames, jax.Array):
            frames = np.asarray(frames)
        if frames.shape[-3:] != self.frame_shape or not jnp.issubdtype(frames.dtype, jnp.floating):
            raise ValueError(
                f"{name} is {frames.dtype} of shape {frames.shape}; give what "
                "LoadedVectorLam.frames_of makes of vectors"
            )
        return frames
