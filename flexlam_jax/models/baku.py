"""A policy that reads one observation, a sentence and perhaps a skill, and gives the next C targets.

The architecture of BAKU (arXiv 2406.07539): [sentence, (cameras, proprioception, skill, action
token) per step] through a causal transformer; the outputs at the action tokens go to the head. One
encoder looks at all cameras, told by FiLM what is to be done. The flat baseline, the high level
(sentence -> skill) and the low level (skill -> action) of HiLAM are this model with other inputs
and targets.

Other than in BAKU: the blocks are those of this package (RMS norms, no dropout), tokens have the
width of the trunk from the start, and weights are not orthogonal at first.

Dimension keys: B batch, T steps of history, N cameras, H W C image, E text, P proprioception, S
skill, M width, C steps of a chunk (where no image is meant), A numbers of a target.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import (
    COUNT,
    COUNT_OR_NONE,
    SWITCH,
    TEXT,
    Range,
    one_of,
    real,
    several,
    whole,
)
from flexlam_jax.config.sections import build_kind
from flexlam_jax.config.settings import choice, read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.action_heads import HEADS
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.image_encoders import IMAGE_ENCODERS
from flexlam_jax.models.lam import DTYPES, FrameSettings
from flexlam_jax.models.text_features import TEXT_FEATURES
from flexlam_jax.models.transformer import REMAT_NAMES, BlockSettings, RMSNorm, Transformer

Observation = Mapping[str, jax.Array]
_SMALL = nn.initializers.normal(0.02)


def _none_or_more(item: Range) -> Range:
    more = several(item)
    return Range(
        f"() or {more.text}",
        lambda value: isinstance(value, (list, tuple)) and (not value or more.holds(value)),
    )


_NAMES, _NUMBERS = _none_or_more(TEXT), _none_or_more(real(-float("inf")))
_SCALES = _none_or_more(real(0, above=True))


@dataclasses.dataclass(frozen=True)
class ReadsSettings:
    """The `reads` section of a config: what a policy observes beside the sentence.

    Names, widths and statistics are found in the data, the latter in the train split; statistics
    that are given are kept. What is given of widths serves for plans.
    """

    cameras: tuple[str, ...] = setting(
        (), range=_NAMES, help="names of cameras, () for single pictures of any"
    )
    proprio: bool = setting(False, range=SWITCH, help="reads the states of the records")
    proprio_width: int = setting(9, range=COUNT, help="numbers of a state")
    proprio_names: tuple[str, ...] = setting((), range=_NAMES, help="of these numbers")
    proprio_mean: tuple[float, ...] = setting((), range=_NUMBERS, help="taken from states")
    proprio_scale: tuple[float, ...] = setting((), range=_SCALES, help="that they are divided by")
    like: str = setting(
        "", range=TEXT, help="run of a policy whose statistics are taken, as where it started from"
    )
    skill: str = setting(
        "", range=TEXT, help="column of data.sidecars that it reads, none if empty"
    )
    skill_width: int = setting(64, range=COUNT, help="numbers of a row of that column")
    skill_mean: tuple[float, ...] = setting((), range=_NUMBERS, help="taken from skills")
    skill_scale: tuple[float, ...] = setting((), range=_SCALES, help="that they are divided by")
    skill_source: str = setting("", range=TEXT, help="array of skills and model that made it")


@dataclasses.dataclass(frozen=True)
class PredictsSettings:
    """The `predicts` section of a config: actions of the records, or columns of sidecars.

    Found in the data as those of `reads`.
    """

    columns: tuple[str, ...] = setting(
        (), range=_NAMES, help="columns of data.sidecars, side by side; () for the actions"
    )
    keep: int = setting(
        0, range=COUNT_OR_NONE, help="first slots of columns of slots (K, D), 0 for all"
    )
    width: int = setting(7, range=COUNT, help="numbers of a target")
    names: tuple[str, ...] = setting((), range=_NAMES, help="of the dimensions of an action")
    low: tuple[float, ...] = setting((), range=_NUMBERS, help="of each number, becomes -1")
    high: tuple[float, ...] = setting((), range=_NUMBERS, help="of each number, becomes 1")
    source: str = setting("", range=TEXT, help="arrays of the columns and model that made them")


@dataclasses.dataclass(frozen=True)
class ChunkPolicySettings(FrameSettings):
    """The `model` section of a config; what `build_chunk_policy` reads."""

    encoder: Any = choice(IMAGE_ENCODERS, default="light", help="looks at the cameras")
    text: Any = choice(TEXT_FEATURES, default="hashed", help="what a sentence becomes")
    head: Any = choice(HEADS, default="deterministic", help="gives the chunk")
    chunk: int = setting(10, range=whole(1, 1000), help="steps that are predicted at once")
    history: int = setting(
        1, range=whole(1, 1000), help="steps that are read, the present one included"
    )
    width: int = setting(128, range=COUNT, help="of the trunk")
    layers: int = setting(4, range=COUNT, help="blocks of the trunk")
    heads: int = setting(4, range=COUNT, help="attention heads")
    mlp_hidden: int = setting(512, range=COUNT, help="hidden units of a block's MLP")
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")
    remat: str = setting("none", range=one_of(REMAT_NAMES), help="what is computed twice")


@dataclasses.dataclass(frozen=True)
class Affine:
    """Numbers (..., n) to a common scale and back; hashable, as fields of modules are.

    Attributes:
      centre, scale: n numbers each, or () for none: then nothing is changed.
    """

    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def between(cls, low: Sequence[float], high: Sequence[float]) -> "Affine":
        """Maps low..high to -1..1; a number that is constant keeps its distance from there."""
        pairs = list(zip(low, high, strict=True))
        return cls(
            tuple((b + a) / 2 for a, b in pairs),
            tuple((b - a) / 2 if b > a else 1.0 for a, b in pairs),
        )

    def apply(self, x: jax.Array) -> jax.Array:
        """(x - centre) / scale."""
        x = jnp.asarray(x, jnp.float32)
        return (x - jnp.array(self.centre)) / jnp.array(self.scale) if self.centre else x

    def undo(self, x: jax.Array) -> jax.Array:
        """The inverse."""
        return x * jnp.array(self.scale) + jnp.array(self.centre) if self.centre else x


class Body(nn.Module):
    """Observations to the hidden states of action tokens: all of a policy but its head.

    An observation is a mapping

      frames   (B, T, N, H, W, C)  uint8 or float in [0, 1]
      text     (B, E)              if text_width is not 0
      proprio  (B, T, P)           raw numbers, if proprio_width is not 0
      skill    (B, T, S)           raw numbers, if skill_width is not 0

    with any T up to `history`. Step t sees the steps up to t, so that the first steps of an episode
    are read as they are: fewer.

    Attributes:
      encoder: see film.py.
      cameras, history, width, layers, block: N, the largest T, M, and of the trunk.
      text_width, proprio_width, skill_width: E, P, S; 0 for what is not read.
      proprio, skill: the scales of what is read.
    """

    encoder: nn.Module
    cameras: int
    history: int
    width: int
    layers: int
    block: BlockSettings
    text_width: int = 0
    proprio_width: int = 0
    skill_width: int = 0
    proprio: Affine = Affine()
    skill: Affine = Affine()

    def setup(self) -> None:
        def projection():
            return Projection(self.width, self.block.dtype)

        if self.text_width:
            self.text_token = projection()
        if self.proprio_width:
            self.proprio_token = projection()
        if self.skill_width:
            self.skill_token = projection()
        self.action_token = self.param("action_token", _SMALL, (self.width,), jnp.float32)
        of_step = self.cameras + bool(self.proprio_width) + bool(self.skill_width) + 1
        tokens = bool(self.text_width) + self.history * of_step
        self.positions = self.param("positions", _SMALL, (tokens, self.width), jnp.float32)
        self.trunk = Transformer(self.layers, self.block, causal=True)
        self.norm = RMSNorm()

    def __call__(self, observation: Observation) -> jax.Array:
        """The hidden states (B, T, M) float32 of the action tokens."""
        B, T = observation["frames"].shape[:2]
        prefix, steps = self._tokens(observation)
        steps = steps.reshape(B, -1, self.width)
        x = steps if prefix is None else jnp.concatenate([prefix[:, None], steps], axis=1)
        x = x + self.positions[: x.shape[1]].astype(x.dtype)
        x = self.norm(self.trunk(x.astype(self.block.dtype)))
        return x[:, x.shape[1] - steps.shape[1] :].reshape(B, T, -1, self.width)[:, :, -1]

    def _tokens(self, observation):
        """(token (B, M) of the sentence or None, tokens (B, T, n, M) of the steps)."""
        B, T = observation["frames"].shape[:2]
        text = self.text_token(observation["text"]) if self.text_width else None
        beside, condition = [], []
        if text is not None:
            condition.append(jnp.broadcast_to(text[:, None], (B, T, self.width)))
        if self.proprio_width:
            beside.append(self.proprio_token(self.proprio.apply(observation["proprio"])))
        if self.skill_width:
            beside.append(self.skill_token(self.skill.apply(observation["skill"])))
            condition.append(beside[-1])
        seen = self._pictures(observation["frames"], condition)
        action = jnp.broadcast_to(self.action_token, (B, T, self.width))
        others = jnp.stack([token.astype(seen.dtype) for token in (*beside, action)], axis=2)
        return text, jnp.concatenate([seen, others], axis=2)

    def _pictures(self, frames, condition):
        """frames (B, T, N, H, W, C), each with the conditions (B, T, M) of its step -> tokens."""
        B, T, N = frames.shape[:3]
        pictures = to_float(frames).reshape(B * T * N, *frames.shape[3:])
        told = None
        if condition:
            told = jnp.repeat(jnp.concatenate(condition, axis=-1).reshape(B * T, -1), N, axis=0)
        return self.encoder(pictures, told).reshape(B, T, N, self.width)


class ChunkPolicy(nn.Module):
    """Built by `build_chunk_policy`; see the head of this file.

    The parameters of `body` are of use to a policy of other targets that observes the same: a low
    level that was trained on latent actions, say, to one of real actions.

    Attributes:
      body: see `Body`, also for observations.  head: see action_heads.py.
      target: the scale of what is given.
    """

    body: Body
    head: nn.Module
    target: Affine = Affine()

    def losses(
        self, observation: Observation, target: jax.Array, mask: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """What is learned from raw targets (B, T, C, A), those where mask (B, T, C) is true.

        Returns:
          (losses (B, T, C), what would have been done (B, T, C, A), on the scale of -1..1 and
          without a gradient).
        """
        hidden = self.body(observation)
        losses = self.head.losses(hidden, self.target.apply(target), mask, key)
        still = jax.lax.stop_gradient(hidden)
        done = self.head.act(still, jnp.broadcast_to(jax.random.key(0), still.shape[:-1]))
        return losses, jax.lax.stop_gradient(done)

    def act(self, observation: Observation, seeds: jax.Array) -> jax.Array:
        """The chunk (B, C, A) that follows the last step, in raw numbers; seeds uint32 (B,)."""
        hidden = self.body(observation)[:, -1]
        return self.target.undo(self.head.act(hidden, jax.vmap(jax.random.key)(seeds)))


class Projection(nn.Module):
    """Numbers (..., n) -> token (..., M): a dense layer, GELU, a dense layer."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = nn.gelu(Dense(self.width, dtype=self.dtype, name="hidden")(x))
        return Dense(self.width, dtype=self.dtype, name="out")(z)


def build_chunk_policy(
    model: Mapping[str, Any], reads: Mapping[str, Any], predicts: Mapping[str, Any]
) -> ChunkPolicy:
    """Builds the policy from the sections `model`, `reads` and `predicts` of a config.

    Raises:
      ConfigError: an unknown key or kind, a number out of its range, heads that do not divide the
        width, or statistics of another width than what they are of.
    """
    settings = read("model", model, ChunkPolicySettings)
    observed = read("reads", reads, ReadsSettings)
    target = read("predicts", predicts, PredictsSettings)
    if settings.width % settings.heads:
        raise ConfigError(
            f"config.model.width={settings.width} is not divisible by "
            f"config.model.heads={settings.heads}"
        )
    _check_widths("reads.proprio", observed.proprio_width, observed, "proprio_mean proprio_scale")
    _check_widths("reads.skill", observed.skill_width, observed, "skill_mean skill_scale")
    _check_widths("predicts.", target.width, target, "low high")
    dtype = DTYPES[settings.dtype]
    body = Body(
        encoder=build_kind(
            "model.encoder", settings.encoder, IMAGE_ENCODERS, dtype=dtype, width=settings.width
        ),
        cameras=max(1, len(observed.cameras)),
        history=settings.history,
        width=settings.width,
        layers=settings.layers,
        block=BlockSettings(
            heads=settings.heads,
            mlp_hidden=settings.mlp_hidden,
            dtype=dtype,
            remat=settings.remat,
            unroll=True,
        ),
        text_width=build_text(model).width,
        proprio_width=observed.proprio_width if observed.proprio else 0,
        skill_width=observed.skill_width if observed.skill else 0,
        proprio=Affine(observed.proprio_mean, observed.proprio_scale),
        skill=Affine(observed.skill_mean, observed.skill_scale),
    )
    head = {"dtype": dtype, "chunk": settings.chunk, "outputs": target.width}
    return ChunkPolicy(
        body=body,
        head=build_kind("model.head", settings.head, HEADS, **head),
        target=Affine.between(target.low, target.high),
    )


def build_text(model: Mapping[str, Any]) -> Any:
    """What the `model` section makes of sentences, see text_features.py; raises ConfigError."""
    return build_kind("model.text", dict(model).get("text", {"kind": "hashed"}), TEXT_FEATURES)


def _check_widths(what: str, width: int, settings: Any, names: str) -> None:
    lengths = {name: len(getattr(settings, name)) for name in names.split()}
    if set(lengths.values()) not in ({0}, {width}):
        told = ", ".join(f"{count} in {name}" for name, count in lengths.items())
        section = what.partition(".")[0]
        raise ConfigError(
            f"config.{section} has statistics of another width than the {width} numbers that they "
            f"are of ({told}); leave them out for those of the train split"
        )
