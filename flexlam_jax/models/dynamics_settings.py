"""Settings of a model of dynamics, and what builds it from them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, SWITCH, TEXT, Range, one_of, real, whole
from flexlam_jax.config.settings import choice, read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.attention import IMPLEMENTATIONS
from flexlam_jax.models.bottleneck import SAMPLERS
from flexlam_jax.models.dynamics import ACTIONS, CONTEXTS, ENTERS, KINDS, Dynamics
from flexlam_jax.models.lam import DTYPES
from flexlam_jax.models.maskgit import MOST_STEPS
from flexlam_jax.models.spacetime import check_heads
from flexlam_jax.models.transformer import REMAT_NAMES, BlockSettings

_NAMES = Range(
    "texts in brackets, or ()",
    lambda value: isinstance(value, (list, tuple)) and all(map(TEXT.holds, value)),
)


@dataclasses.dataclass(frozen=True)
class DynamicsSettings:
    """The `model` section of a config; what `build_dynamics` reads."""

    kind: str = setting(
        "maskgit", range=one_of(KINDS), help="tokens are set in a few steps, or in raster order"
    )
    context: str = setting(
        "masked",
        range=one_of(CONTEXTS),
        help="the past in training: hidden in part, or shown as it is at twice the work",
    )
    action: str = setting(
        "latent",
        range=one_of(ACTIONS),
        help="what leads to a frame: prefixes of lam.checkpoint, the data's actions, or nothing",
    )
    drafts: bool = setting(
        False,
        range=SWITCH,
        help="also reads what the latent action model's decoder makes of the frame before",
    )
    enters: str = setting(
        "add", range=one_of(ENTERS), help="an action is added to every token, or is one of its own"
    )
    window: int = setting(8, range=whole(2, 4096), help="frames that a frame sees, itself included")
    width: int = setting(128, range=COUNT, help="of the blocks")
    layers: int = setting(4, range=COUNT, help="space-time blocks")
    heads: int = setting(4, range=COUNT, help="attention heads")
    mlp_hidden: int = setting(512, range=COUNT, help="hidden units of a block's MLP")
    qk_norm: bool = setting(True, range=SWITCH, help="normalises queries and keys")
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")
    remat: str = setting("none", range=one_of(REMAT_NAMES), help="what is computed twice")
    unroll: bool = setting(False, range=SWITCH, help="no loop over blocks in the program")
    attention: str = setting("auto", range=one_of(IMPLEMENTATIONS), help="which kernel")


@dataclasses.dataclass(frozen=True)
class TokenSettings:
    """The `tokens` section of a config: what the tokenizer makes of a frame.

    A run finds it in `tokenizer.checkpoint`; what is given serves for plans.
    """

    count: int = setting(64, range=COUNT, help="tokens of a frame")
    codebook_size: int = setting(1000, range=COUNT, help="codes of a token")


@dataclasses.dataclass(frozen=True)
class ActionSettings:
    """The `actions` section of a config: what leads from frame to frame.

    A run finds it in `lam.checkpoint` or, for true actions, in its data; what is given serves for
    plans.
    """

    slots: int = setting(4, range=COUNT, help="latent slots K; 1 for true actions")
    slot_width: int = setting(2, range=COUNT, help="width of a slot; the numbers of a true action")
    keep: Any = choice(
        SAMPLERS, default="uniform", help="slots that a training sample keeps, as for the LAM"
    )
    names: tuple[str, ...] = setting(
        (), range=_NAMES, help="of true actions, or of the dimensions of one"
    )
    discrete: bool = setting(
        True, range=SWITCH, help="true actions are one of several, not a vector"
    )


@dataclasses.dataclass(frozen=True)
class TokenizerSource:
    """The `tokenizer` section of a config: which one makes the tokens."""

    checkpoint: str = setting("", range=TEXT, help="its work directory")
    step: int = setting(0, range=COUNT_OR_NONE, help="of that checkpoint, 0 for the newest")
    fingerprint: str = setting("", range=TEXT, help="of its parameters")


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """The `sampling` section of a config: what a world does where it is not told otherwise."""

    steps: int = setting(8, range=whole(1, MOST_STEPS), help="MaskGIT steps of a frame")
    temperature: float = setting(
        1.0, range=real(0), help="of the draws; 0 takes the likeliest token"
    )


def build_dynamics(
    model: Mapping[str, Any], tokens: Mapping[str, Any], actions: Mapping[str, Any] | None = None
) -> Dynamics:
    """Builds the model from the sections `model`, `tokens` and `actions` of a config.

    Raises:
      ConfigError: an unknown key, a value out of its range, heads that do not split the width into
        even parts, or raster order in a masked context.
    """
    settings, of = read("model", model, DynamicsSettings), read("tokens", tokens, TokenSettings)
    read("actions", actions, ActionSettings)
    check_heads(settings.width, settings.heads, "config.model.")
    if settings.kind == "causal" and settings.context != "shown":
        raise ConfigError(
            f"config.model.kind='causal' predicts tokens from whole frames before them, and "
            f"config.model.context={settings.context!r} hides some; set it to 'shown'"
        )
    if settings.drafts and settings.action != "latent":
        raise ConfigError(
            f"config.model.drafts is set, and with config.model.action={settings.action!r} there is no "
            "latent action model that could draft; leave it out"
        )
    return Dynamics(
        tokens=of.count,
        codes=of.codebook_size,
        drafts=settings.drafts,
        kind=settings.kind,
        context=settings.context,
        action=settings.action,
        enters=settings.enters,
        width=settings.width,
        layers=settings.layers,
        window=settings.window,
        block=BlockSettings(
            heads=settings.heads,
            mlp_hidden=settings.mlp_hidden,
            qk_norm=settings.qk_norm,
            dtype=DTYPES[settings.dtype],
            attention=settings.attention,
            remat=settings.remat,
            unroll=settings.unroll,
        ),
    )


def clip_shapes(
    model: Dynamics, actions: ActionSettings, frames: int
) -> tuple[jax.ShapeDtypeStruct | None, ...]:
    """What the model is called with, of one row of T = `frames`: ids int32 and hidden bool (1, T, N),
    actions float32 (1, T-1, K, D) and drafts int32 (1, T-1, N), or None."""
    tokens, drafts = (1, frames, model.tokens), (1, frames - 1, model.tokens)
    led = 1, frames - 1, actions.slots, actions.slot_width
    return (
        jax.ShapeDtypeStruct(tokens, jnp.int32),
        jax.ShapeDtypeStruct(tokens, jnp.bool_),
        None if model.action == "none" else jax.ShapeDtypeStruct(led, jnp.float32),
        jax.ShapeDtypeStruct(drafts, jnp.int32) if model.drafts else None,
    )
