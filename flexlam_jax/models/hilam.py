"""HiLAM (arXiv 2603.05815): skills of variable length from sequences of latent actions.

A nest of chunk stages reads the latent actions z^0 of a frozen model and predicts the next one. The
vectors at the boundaries of stage s are the skills z^s; each is that of all steps of its chunk.

Dimension keys: B rows, T steps, K slots of a latent action, D their width, F = k D numbers of a
latent action whose first k slots are kept, W_s width of stage s.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import (
    COUNT,
    COUNT_OR_NONE,
    SWITCH,
    TEXT,
    Range,
    either,
    one_of,
    real,
    several,
)
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models import chunking
from flexlam_jax.models.chunk_stage import ChunkStage, Cutting, StageOutput, StageState, StageStep
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.lam import DTYPES
from flexlam_jax.models.stepwise_stack import Stack
from flexlam_jax.models.token_policy import CodeSettings
from flexlam_jax.models.transformer import BlockSettings


@flax.struct.dataclass
class HiLamOutput:
    """What the objective reads.

    Attributes:
      latents: float32 (B, T, F), what was read, normalised.
      prediction: float32 (B, T, F), normalised; at t of the latent action at t + 1.
      stages: what each stage decided, the outer first.
    """

    latents: jax.Array
    prediction: jax.Array
    stages: tuple[StageOutput, ...]


@flax.struct.dataclass
class Segmentation:
    """Sequences cut into skills, everything at the steps of the latent actions.

    Attributes:
      boundaries: of each stage bool (B, T), the first step of each of its chunks. Those of a later
        stage are among those of the one before.
      skills: of each stage float32 (B, T, W_s), at every step the vector of its chunk; 0 in
        padding.
    """

    boundaries: tuple[jax.Array, ...]
    skills: tuple[jax.Array, ...]


def segmentation(stages: tuple[StageOutput, ...]) -> Segmentation:
    """The decisions of nested stages, brought to the steps that the outer one reads."""
    cuts: list[jax.Array] = []
    skills: list[jax.Array] = []
    for stage in reversed(stages):
        skill = chunking.spread(stage.chunks.values.astype(jnp.float32), stage.cut)
        skills = [skill, *(chunking.spread(x, stage.cut) for x in skills)]
        number = jnp.minimum(chunking.chunk_number(stage.cut), stage.chunks.valid.shape[1] - 1)
        cuts = [
            stage.cut,
            *(stage.cut & jnp.take_along_axis(cut, number, axis=1) for cut in cuts),
        ]
    held = stages[0].valid[..., None]
    return Segmentation(tuple(cuts), tuple(jnp.where(held, skill, 0) for skill in skills))


def encoded(stages: tuple[StageOutput, ...]) -> tuple[jax.Array, ...]:
    """What each stage's encoder says at every step that the outer one reads, float32 (B, T, W_s).

    Inside a chunk of the stages before, a later stage has read its first step and no other: that
    vector is held. At the cuts of a stage they are its skills; 0 in padding.
    """
    vectors: list[jax.Array] = []
    for stage in reversed(stages):
        inner = [chunking.spread(x, stage.cut) for x in vectors]
        vectors = [stage.encoded.astype(jnp.float32), *inner]
    held = stages[0].valid[..., None]
    return tuple(jnp.where(held, x, 0) for x in vectors)


class HiLam(nn.Module):
    """Built by `build_hilam`; see the head of this file.

    Attributes:
      nest: the outermost `ChunkStage`.
      mean, scale: F numbers each, by which latent actions are normalised; () leaves them.
      constant: a number that is read beside them, in units of sqrt(F), about the length of a
        normalised latent action; 0 for none.
    """

    nest: ChunkStage
    size: int
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    constant: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.embed = Dense(self.nest.width, dtype=self.dtype)
        self.head = Dense(self.size)

    def __call__(self, latents: jax.Array, valid: jax.Array) -> HiLamOutput:
        """Sequences at once.

        Args:
          latents: float (B, T, F), T at least 2.
          valid: bool (B, T), padding at the end of a row.
        """
        z = jnp.where(valid[..., None], self._normalised(latents), 0.0)
        hidden, stages = self.nest(self._embedded(z), valid)
        return HiLamOutput(z, self.head(hidden.astype(jnp.float32)), stages)

    def segment(self, latents: jax.Array, valid: jax.Array) -> Segmentation:
        """Arguments as `__call__`."""
        return segmentation(self(latents, valid).stages)

    def encode(self, latents: jax.Array, valid: jax.Array) -> tuple[jax.Array, ...]:
        """`encoded` vectors; arguments as `__call__`."""
        return encoded(self(latents, valid).stages)

    def start(self, rows: int, length: int) -> StageState:
        """The state before the first step, with room for `length` of them."""
        return self.nest.start(rows, length)

    def restart(self, state: StageState, ended: jax.Array) -> StageState:
        """The state with the rows `ended`, bool (B,), as before their first step."""
        return self.nest.restart(state, ended)

    def step(
        self, latents: jax.Array, go: jax.Array, state: StageState
    ) -> tuple[jax.Array, StageState, tuple[StageStep, ...]]:
        """One step: latents (B, F), read where `go` bool (B,).

        Returns:
          (the next latent action that is expected, float32 (B, F), not normalised; state; what each
          stage decided, the outer first). Of rows that do not go only the state means anything.
        """
        hidden, state, told = self.nest.step(self._embedded(self._normalised(latents)), go, state)
        return raw_latents(self, self.head(hidden.astype(jnp.float32))), state, told

    def _embedded(self, z: jax.Array) -> jax.Array:
        if not self.constant:
            return self.embed(z)
        one = jnp.full((*z.shape[:-1], 1), self.constant * self.size**0.5, z.dtype)
        return self.embed(jnp.concatenate([z, one], axis=-1))

    def _normalised(self, latents: jax.Array) -> jax.Array:
        latents = latents.astype(jnp.float32)
        if not self.scale:
            return latents
        return (latents - jnp.asarray(self.mean)) / jnp.asarray(self.scale)


def raw_latents(model: HiLam, normalised: jax.Array) -> jax.Array:
    """Latent actions (..., F) as they were before the model normalised them."""
    if not model.scale:
        return normalised
    return normalised * jnp.asarray(model.scale) + jnp.asarray(model.mean)


COMPARED = ("chunks", "steps")
_NUMBERS = Range(
    "numbers in brackets, or ()",
    lambda value: isinstance(value, (list, tuple)) and all(map(real(-3e38).holds, value)),
)


@dataclasses.dataclass(frozen=True)
class LatentStatistics:
    """The `latents` section of a config: which they are, and what their numbers are like, which a run
    finds in its data."""

    column: str = setting(
        "slots", range=TEXT, help="of data.sidecars; another than slots may be vectors of any model"
    )
    mean: tuple[float, ...] = setting((), range=_NUMBERS, help="of each number")
    scale: tuple[float, ...] = setting((), range=_NUMBERS, help="standard deviation of each")


@dataclasses.dataclass(frozen=True)
class HiLamSettings:
    """The `model` section of a config; what `build_hilam` reads. One entry per stage, the outer
    first; the last of `widths` is that of the main network."""

    keep: int = setting(0, range=COUNT_OR_NONE, help="first slots that are read, 0 for all")
    normalise: bool = setting(
        True, range=SWITCH, help="brings every number of the latents to mean 0 and deviation 1"
    )
    targets: tuple[float, ...] = setting(
        (6.0, 4.0), range=several(real(1, above=True)), help="positions per chunk, above 1"
    )
    widths: tuple[int, ...] = setting(
        (128, 128, 128), range=several(COUNT), help="of each stage and of the main network"
    )
    encoder_layers: tuple[int, ...] = setting(
        (1, 1), range=several(COUNT_OR_NONE), help="blocks before the chunks"
    )
    decoder_layers: tuple[int, ...] = setting(
        (1, 1), range=several(COUNT_OR_NONE), help="blocks after the chunks"
    )
    main_layers: int = setting(2, range=COUNT, help="blocks of the main network")
    heads: int = setting(4, range=COUNT, help="attention heads")
    mlp_ratio: int = setting(4, range=COUNT, help="hidden units of the MLPs per unit of width")
    router: str = setting(
        "code",
        range=one_of(chunking.PAIRINGS),
        help="query, key and ties as in the official code, or as in the paper",
    )
    temperature: float = setting(
        1.0, range=real(0.01, 1), help="less makes boundary probabilities more decided"
    )
    offset: bool = setting(
        False, range=SWITCH, help="every router learns at which angle a boundary is"
    )
    constant: float = setting(
        0.0,
        range=real(0),
        help="a number beside those of every latent action, in their mean length: routers compare "
        "directions, and with it a long and a short one differ in theirs; 0 for none",
    )
    compare: str = setting(
        "chunks",
        range=one_of(COMPARED),
        help="what later stages compare: first steps of two chunks, or the two steps at a boundary",
    )
    bypass: bool = setting(
        True, range=SWITCH, help="the outer stage's vectors also go past the chunks"
    )
    merge: int | tuple[int, ...] = setting(
        1,
        range=either(COUNT, several(COUNT)),
        help="boundaries at less than so many positions are one; a number, or one of each stage",
    )
    capacity: float = setting(
        1.0, range=real(0, 1, above=True), help="the most chunks, as a share of the positions"
    )
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")


def latent_size(settings: HiLamSettings, codes: CodeSettings) -> int:
    """F. Raises ConfigError for more slots than there are."""
    if settings.keep > codes.slots:
        raise ConfigError(
            f"config.model.keep={settings.keep}, but the latent actions have {codes.slots} slots; "
            "give fewer, or 0 for all"
        )
    return (settings.keep or codes.slots) * codes.slot_width


def kept(slots: jax.Array, size: int) -> jax.Array:
    """Slots (..., K, D) -> the first of them as one vector (..., F)."""
    return slots.reshape(*slots.shape[:-2], -1)[..., :size]


def build_hilam(
    model: Mapping[str, Any], codes: Mapping[str, Any], latents: Mapping[str, Any]
) -> HiLam:
    """Builds the model from the sections `model`, `codes` and `latents` of a config.

    Raises:
      ConfigError: an unknown key, a number out of its range, settings of another number of stages,
        widths that shrink or that the heads do not divide into even parts, more slots than there
        are, or statistics of another size.
    """
    settings, of = read("model", model, HiLamSettings), read("codes", codes, CodeSettings)
    statistics = read("latents", latents, LatentStatistics)
    _check_stages(settings)
    size = latent_size(settings, of)
    if settings.normalise and {len(statistics.mean), len(statistics.scale)} - {0, size}:
        raise ConfigError(
            f"config.latents has {len(statistics.mean)} means and {len(statistics.scale)} scales, "
            f"the latent actions {size} numbers; leave config.latents out, a run finds them"
        )
    return HiLam(
        nest=_nest(settings, 0),
        size=size,
        mean=tuple(statistics.mean) if settings.normalise else (),
        scale=tuple(statistics.scale) if settings.normalise else (),
        constant=settings.constant,
        dtype=DTYPES[settings.dtype],
    )


def _nest(settings: HiLamSettings, stage: int) -> Any:
    """Everything from this stage inwards."""
    width = settings.widths[stage]

    def stack(layers: int) -> Stack:
        block = BlockSettings(
            heads=settings.heads,
            mlp_hidden=settings.mlp_ratio * width,
            dtype=DTYPES[settings.dtype],
            unroll=True,
        )
        return Stack(width, layers, block)

    if stage == len(settings.targets):
        return stack(settings.main_layers)
    return ChunkStage(
        encoder=stack(settings.encoder_layers[stage]),
        inner=_nest(settings, stage + 1),
        decoder=stack(settings.decoder_layers[stage]),
        width=width,
        cutting=Cutting(
            paper=settings.router == "paper",
            temperature=settings.temperature,
            offset=settings.offset,
            neighbours=settings.compare == "steps",
            merge=_merges(settings)[stage],
            capacity=settings.capacity,
        ),
        bypass=settings.bypass or stage > 0,
    )


def _merges(settings: HiLamSettings) -> tuple[int, ...]:
    """Of each stage."""
    merge = settings.merge
    return (merge,) * len(settings.targets) if isinstance(merge, int) else merge


def _check_stages(settings: HiLamSettings) -> None:
    stages = len(settings.targets)
    for name, count in (
        ("encoder_layers", stages),
        ("decoder_layers", stages),
        ("widths", stages + 1),
        ("merge", stages),
    ):
        given = getattr(settings, name)
        if not isinstance(given, int) and len(given) != count:
            raise ConfigError(
                f"config.model.{name}={given} has {len(given)} entries, and config.model.targets="
                f"{settings.targets} makes it {count}"
            )
    if list(settings.widths) != sorted(settings.widths):
        raise ConfigError(
            f"config.model.widths={settings.widths} must not shrink from the outer stage to the "
            "main network"
        )
    for width in settings.widths:
        if width % (2 * settings.heads):
            raise ConfigError(
                f"config.model.widths: {width} is no multiple of {2 * settings.heads}, twice "
                f"config.model.heads={settings.heads}, which rotary positions ask for"
            )
