"""The prefix bottleneck: nested dropout over K ordered slots.

A code is a prefix of `keep` slots; the rest is replaced by one shared learned null vector, so that
the sequence keeps its length and every shape is static. How many slots a training sample keeps is
drawn by a sampler. The sampler of the FlexLAM paper (arXiv 2606.19408) is not public; the choices
here follow the nested-dropout tokenizer FlexTok, and 'uniform' is our default, not the paper's.

Dimension keys: B batch (any leading axes), K slots, D slot width.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT_OR_NONE, either, exactly, real
from flexlam_jax.config.sections import strict
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class Uniform:
    """k ~ U{minimum..K}; minimum 0 also trains the empty prefix."""

    minimum: int = setting(1, range=COUNT_OR_NONE, help="least slots kept")


@dataclasses.dataclass(frozen=True)
class PowersOfTwo:
    """One of 1, 2, 4, ..., K; uniform unless `whole` says otherwise."""

    whole: float = setting(
        1.0, range=real(0, above=True), help="how much likelier all K are than each shorter prefix"
    )
    none: float = setting(
        0.0, range=real(0, 1, below=True), help="share that keeps no slot, which guidance needs"
    )


@dataclasses.dataclass(frozen=True)
class Geometric:
    """P(k) ~ (1 - rate)^(k-1), cut at K."""

    rate: float = setting(
        0.5, range=real(0, 1, above=True, below=True), help="how fast long prefixes get rare"
    )


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Always `count`: the Fixed-K baseline."""

    count: int | None = setting(
        None, range=either(COUNT_OR_NONE, exactly(None)), help="slots kept, None for all K"
    )


@dataclasses.dataclass(frozen=True)
class Same:
    """The sampler of the first prefix."""


SAMPLERS = {
    "uniform": Uniform,
    "powers_of_two": PowersOfTwo,
    "geometric": Geometric,
    "fixed": Fixed,
}
FURTHER_SAMPLERS = {"same": Same, **SAMPLERS}
# Keys of the `model` section that decide which prefixes are drawn in training, and nothing else.
SAMPLER_KEYS = ("keep", "prefixes", "further_keep")


def prefix_mask(keep: jax.Array, slots: int) -> jax.Array:
    """keep (...) int -> bool (..., K); True for the slots that are kept."""
    return jnp.arange(slots) < keep[..., None]


def null_fill(slots: jax.Array, keep: jax.Array, null: jax.Array) -> jax.Array:
    """Replaces every slot from `keep` on by the null vector.

    Args:
      slots: (B, K, D) quantised slots; B may be several axes.
      keep: (B,) int in 0..K, per sample; values outside act as the nearest end.
      null: (D,) shared null vector.

    Returns:
      (B, K, D). The gradient to a replaced slot is exactly zero.

    Raises AssertionError when traced with other shapes: what would broadcast is a mistake here.
    """
    *B, _, D = slots.shape
    chex.assert_shape(keep, tuple(B))
    chex.assert_shape(null, (D,))
    chex.assert_type(keep, int)
    kept = prefix_mask(keep, slots.shape[-2])[..., None]
    return jnp.where(kept, slots, null.astype(slots.dtype))


def keep_settings(
    config: Mapping[str, Any], slots: int, *, section: str = "model.keep"
) -> dict[str, Any]:
    """Checks the `keep` section of a model config and fills in its defaults.

    kinds: those of SAMPLERS.

    Raises ConfigError for unknown kinds, unknown keys and values outside 0..K.
    """
    kind, settings = strict(section, config, SAMPLERS)
    if kind == "uniform" and not 0 <= settings["minimum"] <= slots:
        raise ConfigError(f"{section}.minimum={settings['minimum']} is outside 0..{slots} (slots)")
    if kind == "fixed":
        count = slots if settings["count"] is None else settings["count"]
        if not 0 <= count <= slots:
            raise ConfigError(f"{section}.count={count} is outside 0..{slots} (slots)")
        settings["count"] = count
    if kind == "geometric" and not 0.0 < settings["rate"] < 1.0:
        raise ConfigError(f"{section}.rate={settings['rate']} is outside (0, 1)")
    return {"kind": kind, **settings}


def prefix_samplers(model: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The sampler of every prefix that a training step decodes of one code.

    Args:
      model: the `model` section of a config; reads `slots`, `keep`, `prefixes` and `further_keep`,
        of which the last two are 1 and "same" where they are missing.

    Raises ConfigError as `keep_settings`, and where `further_keep` serves no prefix.
    """
    slots, count = model["slots"], model.get("prefixes", 1)
    first = keep_settings(model.get("keep", {"kind": "uniform"}), slots)
    further = model.get("further_keep", {"kind": "same"})
    if further.get("kind") == "same":
        strict("model.further_keep", further, FURTHER_SAMPLERS)  # Raises for unknown keys.
        return (first,) * count
    if count == 1:
        raise ConfigError(
            f"model.further_keep.kind={further.get('kind')!r} is for the prefixes after the first, "
            "and model.prefixes=1; raise it, or leave out model.further_keep"
        )
    return (first, *[keep_settings(further, slots, section="model.further_keep")] * (count - 1))


def trained_budgets(model: Mapping[str, Any]) -> tuple[int, ...]:
    """Every prefix length that training can draw, in order; `model` as in `prefix_samplers`."""
    slots, budgets = model["slots"], set()
    for sampler in prefix_samplers(model):
        if sampler["kind"] == "fixed":
            budgets.add(sampler["count"])
        elif sampler["kind"] == "powers_of_two":
            budgets.update(_powers_of_two(slots), [0] if sampler["none"] else [])
        else:
            budgets.update(range(sampler.get("minimum", 1), slots + 1))
    return tuple(sorted(budgets))


def _powers_of_two(slots: int) -> list[int]:
    """1, 2, 4, ..., K."""
    return [2**i for i in range(slots.bit_length()) if 2**i < slots] + [slots]


def sample_keep(
    rng: jax.Array, config: Mapping[str, Any], batch: int | tuple[int, ...], *, slots: int
) -> jax.Array:
    """Draws int32 keep of shape `batch`; `config` is the model's `keep` section."""
    settings = keep_settings(config, slots)
    shape = (batch,) if isinstance(batch, int) else tuple(batch)
    kind = settings["kind"]
    if kind == "uniform":
        return jax.random.randint(rng, shape, settings["minimum"], slots + 1, jnp.int32)
    if kind == "fixed":
        return jnp.full(shape, settings["count"], jnp.int32)
    if kind == "powers_of_two":
        lengths = jnp.asarray(_powers_of_two(slots), jnp.int32)
        weights = jnp.ones(len(lengths)).at[-1].set(settings["whole"])
        share = None if settings["whole"] == 1 else weights / weights.sum()
        keep = jax.random.choice(rng, lengths, shape, p=share)
        if settings["none"]:
            told = jax.random.bernoulli(fold_name(rng, "none"), 1 - settings["none"], shape)
            keep = jnp.where(told, keep, 0)
        return keep
    logits = jnp.arange(slots) * jnp.log1p(-settings["rate"])
    return 1 + jax.random.categorical(rng, logits, shape=shape).astype(jnp.int32)
