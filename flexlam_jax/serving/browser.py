"""A world of tokens cut for a runtime that knows no JAX: functions of fixed shapes, and tables.

    look    one pass over a frame whose tokens are partly known: what the others may be, and what later
            frames read of it
    show    the picture of a frame's tokens
    draft   for dynamics that read drafts: the tokens of one of the next frame

Whoever plays draws the tokens of a frame by passes, as `models.maskgit.sample_frame` does, and keeps
what later frames read, as `models.spacetime.FrameCache.write` does. Of an action only what leads to a
frame is needed, a vector, and for drafts its slots.

Dimension keys: n codes, T0 frames of a start, H W C frame, N tokens, V codes of a token, P positions,
M width, K slots of D numbers, S frames kept, h heads, E head width.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.frames import from_float
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.models.drafts import draft_ids
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.spacetime import FrameCache
from flexlam_jax.serving.functions import ROWS, Argument, Function, frames_of
from flexlam_jax.world.token_world import TokenWorld


def check_world(world: Any) -> TokenWorld:
    """The world, if it is one that is cut this way.

    Raises:
      UserError: one that is not, with what is.
    """
    if not isinstance(world, TokenWorld):
        raise UserError(
            "this world is a latent action model whose decoder is iterated, which is played by "
            "experiments.play alone; a file is made of dynamics (experiments/configs/dynamics.py)"
        )
    dynamics, decoder = world.dynamics, world.tokenizer.model.decoder
    if dynamics.action == "none":
        raise UserError(
            "the dynamics were trained without actions: whatever is pressed is the same"
        )
    if dynamics.kind != "maskgit":
        raise UserError(
            f"the dynamics draw a frame token by token, {dynamics.tokens} passes each, which no "
            "browser plays; a file is made of dynamics of kind 'maskgit'"
        )
    if decoder.window > 1:
        raise UserError(
            "the tokenizer's decoder looks back at earlier frames, which is not cut for browsers yet; "
            "a file is made with a tokenizer whose halves are of kind 'light'"
        )
    return world


def half_precision(world: TokenWorld) -> TokenWorld:
    """The world with parameters rounded to half precision, which computes in float32.

    Raises:
      UserError: as `check_world`; parameters that half precision does not hold.
    """
    check_world(world)
    shown = world.tokenizer
    decoder = shown.model.decoder.clone(dtype=jnp.float32)
    model = shown.model.clone(decoder=decoder)
    tokenizer = LoadedTokenizer(model, _rounded(shown.variables), shown.config, shown.step)
    settings = dataclasses.replace(
        world.dynamics.block, dtype=jnp.float32, attention="xla", remat="none"
    )
    dynamics = world.dynamics.clone(block=settings)
    variables = _rounded(world.variables["dynamics"])
    lam = world.latent_actions
    cut = TokenWorld(dynamics, variables, world.config, world.step_number, tokenizer, lam)
    cut.variables["lam"] = _rounded(cut.variables["lam"])
    return cut


def functions_of(world: TokenWorld) -> tuple[Function, ...]:
    """`look`, `show` and, where the dynamics read drafts, `draft`, of one row; the results of `look`
    are as `FrameCache.write` takes them."""
    dynamics, tokenizer = world.dynamics, world.tokenizer
    width, tokens = dynamics.width, dynamics.tokens
    layers, positions, kept, _ = cache_shape(world)
    heads = dynamics.block.heads
    held = (layers, ROWS, positions, kept, heads, width // heads)

    def look(ids, lead, keys, values, count, draft=None) -> Mapping[str, jax.Array]:
        cache = FrameCache(keys, values, count)
        given = world.variables["dynamics"]
        logits, read = dynamics.apply(given, ids, lead, cache, draft, method="seen")
        return {"logits": logits, "new_keys": read[0], "new_values": read[1]}

    def show(ids) -> Mapping[str, jax.Array]:
        model, given = tokenizer.model, tokenizer.variables
        values = model.apply(given, ids[:, None], method="values_of")
        frames = model.apply(given, values, method="decode")
        return {"frames": from_float(frames[:, 0], jnp.uint8)}

    ids = Argument("ids", (ROWS, tokens), np.int32, "of tokens; V for one that is hidden")
    drafts = Argument("draft", (ROWS, tokens), np.int32, "tokens of a draft; V for none")
    functions = (
        Function(
            "look",
            "a pass over a frame",
            (
                ids,
                Argument("lead", (ROWS, 1, width), np.float32, "what leads to the frame"),
                Argument("keys", held, np.float32, "of the frames kept"),
                Argument("values", held, np.float32, "of the frames kept"),
                Argument("count", (ROWS,), np.int32, "frames so far"),
                *([drafts] if dynamics.drafts else []),
            ),
            {"logits": "(B, N, V)", "new_keys": "of this frame", "new_values": "of this frame"},
            look,
        ),
        Function("show", "the picture of tokens", (ids,), {"frames": "(B, H, W, C)"}, show),
    )
    return (*functions, _draft(world)) if dynamics.drafts else functions


def _draft(world: TokenWorld) -> Function:
    def draft(frames, slots) -> Mapping[str, jax.Array]:
        return {"draft": _drafts(world, frames[:, None], slots[:, None])[:, 0]}

    return Function(
        "draft",
        "the tokens of a draft of the next frame",
        (
            frames_of("frames", world.frame_shape, "as `show` shows them"),
            Argument("slots", (ROWS, world.slots, world.slot_width), np.float32, "null-filled"),
        ),
        {"draft": "of tokens, (B, N)"},
        draft,
    )


def _drafts(world: TokenWorld, frames: jax.Array, slots: jax.Array) -> jax.Array:
    lam, tokenizer = world.latent_actions, world.tokenizer
    model, given = build_lam(lam.config["model"]), world.variables["lam"]
    return draft_ids(tokenizer.model, tokenizer.variables, model, given, frames, slots)


def cache_shape(world: TokenWorld) -> tuple[int, int, int, int]:
    """(layers, P, S, h * E): how a row's keys lie in memory, and its values."""
    dynamics = world.dynamics
    positions = dynamics.tokens + (dynamics.enters == "token")
    return dynamics.layers, positions, dynamics.window - 1, dynamics.width


def leads_of(world: TokenWorld, codes: np.ndarray) -> np.ndarray:
    """What leads to a frame by each code, null-filled (n, K, D) -> float32 (n, M)."""
    return _leads(world, jnp.asarray(codes)[:, None])[:, 1]


def start_of(world: TokenWorld, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames uint8 (T0, H, W, C) -> (their tokens int32 (T0, N), what leads to each (T0, M), drafts of
    each int32 (T0, N), V where there is none)."""
    actions = world.start_actions(frames[None])
    ids = world.tokenizer.encode(frames[None])
    drafts = np.full_like(ids[0], world.dynamics.codes)
    if world.dynamics.drafts and len(frames) > 1:
        shown = jnp.asarray(world.tokenizer.decode(ids))[:, :-1]
        drafts[1:] = _drafts(world, shown, actions)[0]
    return ids[0], _leads(world, actions)[0], drafts


def _leads(world: TokenWorld, actions: jax.Array) -> np.ndarray:
    given = world.variables["dynamics"]
    return np.asarray(world.dynamics.apply(given, actions, method="leads"), np.float32)


def _rounded(variables: Any) -> Any:
    def one(array: Any) -> Any:
        if not jnp.issubdtype(array.dtype, jnp.floating):
            return array
        half = jnp.asarray(array).astype(jnp.float16).astype(jnp.float32)
        if not bool(jnp.isfinite(half).all()):
            largest = float(jnp.abs(array).max())
            raise UserError(f"parameters reach {largest:.3g}, beyond what half precision holds")
        return half

    return jax.tree.map(one, variables)
