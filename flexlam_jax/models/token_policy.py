"""The latent-token policy: which latent action comes next, from what is seen.

A causal sequence model over the last steps of a clip, each an observation and the K slots of the
latent action that follows it, [o_t, z_t^1 .. z_t^K]. The output at o_t predicts the first slot, the
output at a slot the next one: slot by slot, so that a budget of k stops after k slots, and the
first slots never depend on how many follow.

Dimension keys: B batch, T steps of context, S frames of a stack, H W C image, K slots, D width of
continuous slots, M width, N draws, F parameters of a slot's distribution. Codes are ids int32
(B, T, K), or values float32 (B, T, K, D).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import (
    COUNT,
    COUNT_OR_NONE,
    TEXT,
    either,
    exactly,
    one_of,
    several,
    whole,
)
from flexlam_jax.config.sections import build_kind
from flexlam_jax.config.settings import choice, read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.causal_transformer import CausalTransformer, KeysValues
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.frame_stack import TRUNKS
from flexlam_jax.models.lam import DTYPES, FrameSettings, frame_shape
from flexlam_jax.models.slot_distributions import MANY_CODES, Categorical, Digits, Mixture
from flexlam_jax.models.transformer import BlockSettings, RMSNorm


class TokenPolicy(nn.Module):
    """Built by `build_token_policy`; see the head of this file.

    Attributes:
      trunk: a `frame_stack.FrameStackTrunk`.
      distribution: of a slot; see slot_distributions.py.
      context: steps T, the present one included.
      width, layers, block: of the sequence model.
    """

    trunk: Any
    distribution: Any
    context: int
    width: int
    layers: int
    block: BlockSettings

    def setup(self) -> None:
        self.observation = Dense(self.width, dtype=self.block.dtype)
        self.step = self.param("step", nn.initializers.normal(0.02), (self.context, self.width))
        self.blocks = CausalTransformer(self.layers, self.block)
        self.norm = RMSNorm()

    @property
    def slots(self) -> int:
        """K."""
        return self.distribution.slots

    @property
    def column(self) -> str:
        """The field of a batch that holds the codes."""
        return "slots" if isinstance(self.distribution, Mixture) else "ids"

    def __call__(self, frames: jax.Array, codes: jax.Array) -> jax.Array:
        """Parameters (B, T, K, F) of the distribution of every slot, given all before it.

        Args:
          frames: the observations o, uint8 or float in [0, 1], (B, T', H, W, C), the last T of
            which are predicted for; T' = T + S - 1 fills all stacks.
          codes: of the T steps.
        """
        tokens = self._tokens(codes, self.context)
        sequence = jnp.concatenate([self._observations(frames)[:, :, None], tokens], axis=2)
        hidden, _ = self.blocks(sequence.reshape(sequence.shape[0], -1, self.width))
        hidden = self.norm(hidden).reshape(sequence.shape)[:, :, : self.slots]
        return self.distribution.parameters(hidden)

    def log_prob(self, frames: jax.Array, codes: jax.Array) -> jax.Array:
        """Nats (B, T, K) of the codes of every step; arguments as `__call__`."""
        return self.distribution.log_prob(self(frames, codes), codes)

    def read(self, frames: jax.Array, past: jax.Array) -> tuple[jax.Array, KeysValues]:
        """Everything up to the present observation, at once.

        Args:
          frames: as `__call__`.
          past: codes of the T - 1 steps before the present one.

        Returns:
          (parameters (B, F) of the first slot, keys and values of what was read).
        """
        observed = self._observations(frames)
        steps = jnp.concatenate(
            [observed[:, :-1, None], self._tokens(past, self.context - 1)], axis=2
        )
        sequence = jnp.concatenate(
            [steps.reshape(steps.shape[0], -1, self.width), observed[:, -1:]], axis=1
        )
        hidden, cache = self.blocks(sequence)
        return self._parameters(hidden[:, -1:], 0)[:, 0], cache

    def go_on(self, codes: jax.Array, slot: int, cache: KeysValues) -> tuple[jax.Array, KeysValues]:
        """Appends slot number `slot` of N draws of the present latent action.

        The draws of a row share what was read before them; each sees its own slots only.

        Args:
          codes: ids (B, N) or values (B, N, D) of the slot, which is not the last one.
          cache: from `read`, or from the slot before.

        Returns:
          (parameters (B, N, F) of the next slot, the cache with the N tokens at its end).
        """
        draws = codes.shape[1]
        x = self.distribution.embed(codes[:, :, None], slot)[:, :, 0] + self.step[-1]
        shared = cache[0].shape[2] - slot * draws
        own = jnp.tile(jnp.eye(draws, dtype=bool), (1, slot + 1))
        mask = jnp.concatenate([jnp.ones((draws, shared), bool), own], axis=1)
        hidden, cache = self.blocks(x.astype(self.block.dtype), cache, mask)
        return self._parameters(hidden, slot + 1), cache

    def draw(
        self, frames: jax.Array, past: jax.Array, seeds: jax.Array, *, draws: int, keep: int
    ) -> jax.Array:
        """Samples the first `keep` slots of the present latent action.

        Draw n, slot i of a row is a function of the row, its seed, n and i: the same however many
        draws, slots and rows are asked for.

        Args:
          frames, past: as `read`.
          seeds: uint32 (B,).
          draws: N.
          keep: 1..K.

        Returns:
          ids int32 (B, N, keep), or values float32 (B, N, keep, D).
        """
        keys = _keys(seeds, draws)
        parameters, cache = self.read(frames, past)
        parameters = jnp.broadcast_to(parameters[:, None], (*keys.shape, parameters.shape[-1]))
        codes = [self._sample(keys, 0, parameters)]
        for slot in range(keep - 1):
            parameters, cache = self.go_on(codes[-1], slot, cache)
            codes.append(self._sample(keys, slot + 1, parameters))
        return jnp.stack(codes, axis=2)

    def _sample(self, keys, slot, parameters):
        fold = jnp.vectorize(lambda key: jax.random.fold_in(key, slot))
        return self.distribution.sample(fold(keys), parameters)

    def _observations(self, frames):
        seen = self.observation(self.trunk(frames, last=self.context))
        return seen + self.step.astype(seen.dtype)

    def _tokens(self, codes, steps):
        tokens = self.distribution.embed(codes) + self.step[:steps, None]
        return tokens.astype(self.block.dtype)

    def _parameters(self, hidden, slot):
        """hidden (B, N, M), before the norm, of N tokens that precede the same slot."""
        return self.distribution.parameters(self.norm(hidden)[:, :, None], slot)[:, :, 0]


def _keys(seeds, draws):
    """A key for each draw of each row, (B, N)."""
    of_row = jax.vmap(jax.random.key)(seeds)
    return jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(of_row, jnp.arange(draws))


@dataclasses.dataclass(frozen=True)
class CodeSettings:
    """The `codes` section of a config: the latent actions that a policy predicts.

    A run finds it, and whose codes they are, in its sidecars; what is given serves for plans.
    """

    slots: int = setting(4, range=COUNT, help="latent slots K")
    codebook_size: int = setting(9, range=COUNT_OR_NONE, help="codes of a slot, 0 for continuous")
    slot_width: int = setting(2, range=COUNT, help="width of a slot")
    gap: int = setting(1, range=COUNT, help="frames from one step to the next")
    levels: tuple[int, ...] | None = setting(
        None,
        range=either(several(COUNT), exactly(None)),
        help="values of each digit of a code, if codes have digits",
    )


@dataclasses.dataclass(frozen=True)
class LamSource:
    """The `lam` section of a config: which latent action model made the codes."""

    checkpoint: str = setting("", range=TEXT, help="its folder, where a rollout looks for it")
    step: int = setting(0, range=COUNT_OR_NONE, help="of that checkpoint")
    fingerprint: str = setting("", range=TEXT, help="of its parameters")


@dataclasses.dataclass(frozen=True)
class TokenPolicySettings(FrameSettings):
    """The `model` section of a config; what `build_token_policy` reads."""

    context: int = setting(1, range=whole(1, 1000), help="steps it reads, the present one included")
    trunk: Any = choice(TRUNKS, default="frame_stack", help="reads the frames of a step")
    width: int = setting(128, range=COUNT, help="of the sequence model")
    layers: int = setting(2, range=COUNT, help="blocks of the sequence model")
    heads: int = setting(4, range=COUNT, help="attention heads")
    mlp_hidden: int = setting(256, range=COUNT, help="hidden units of a block's MLP")
    components: int = setting(8, range=COUNT, help="parts of the mixture of a slot, if it is one")
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")


def build_token_policy(model: Mapping[str, Any], codes: Mapping[str, Any]) -> TokenPolicy:
    """Builds the policy from the sections `model` and `codes` of a config.

    Raises:
      ConfigError: an unknown key or kind, a number out of its range, or heads that do not divide
        the width.
    """
    settings, of = read("model", model, TokenPolicySettings), read("codes", codes, CodeSettings)
    if settings.width % settings.heads:
        raise ConfigError(
            f"config.model.width={settings.width} is not divisible by "
            f"config.model.heads={settings.heads}"
        )
    dtype = DTYPES[settings.dtype]
    return TokenPolicy(
        trunk=build_kind("model.trunk", settings.trunk, TRUNKS, dtype=dtype),
        distribution=_distribution(of, settings),
        context=settings.context,
        width=settings.width,
        layers=settings.layers,
        block=BlockSettings(
            heads=settings.heads, mlp_hidden=settings.mlp_hidden, dtype=dtype, unroll=True
        ),
    )


def _distribution(of: CodeSettings, settings: TokenPolicySettings) -> Any:
    if not of.codebook_size:
        return Mixture(of.slots, of.slot_width, settings.components, settings.width)
    if of.levels and of.codebook_size > MANY_CODES:
        if math.prod(of.levels) != of.codebook_size:
            raise ConfigError(
                f"config.codes.levels={tuple(of.levels)} make {math.prod(of.levels)} codes, but "
                f"config.codes.codebook_size={of.codebook_size}"
            )
        return Digits(of.slots, tuple(of.levels), settings.components, settings.width)
    return Categorical(of.slots, of.codebook_size, settings.width)


def clip_shapes(
    model: Mapping[str, Any], codes: Mapping[str, Any]
) -> dict[str, jax.ShapeDtypeStruct]:
    """What a row of a batch holds, {field: shape without the rows}, of sections as above.

    frames (T + S, H, W, C): those before the first step that fill its stack, the T observations,
    and the one to which the last latent action leads, which is not read. ids (T + S - 1, K) or
    slots (T + S - 1, K, D), the latent actions between them.
    """
    policy = build_token_policy(model, codes)
    frames, one = policy.context + policy.trunk.stack, policy.distribution.codes_are
    return {
        "frames": jax.ShapeDtypeStruct((frames, *frame_shape(model)), jnp.uint8),
        policy.column: jax.ShapeDtypeStruct((frames - 1, *one.shape), one.dtype),
    }
