"""Export of worlds of tokens: their start and their step, with the state as arrays."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flexlam_jax.serving.functions import (
    ROWS,
    Argument,
    Exported,
    ExportSettings,
    Function,
    frames_of,
)
from flexlam_jax.world.token_world import TokenWorld


def exported(world: TokenWorld, settings: ExportSettings) -> Exported:
    """start of one frame, start_<n> of as many as a start may have, and step."""
    starts = [_start(world, "start", 1)]
    if world.history > 1:
        starts.append(_start(world, f"start_{world.history}", world.history))
    steps = (settings.steps or world.sampling_steps) if world.sampling_steps else 1
    facts = {
        "history": world.history,
        "slots": world.slots,
        "slot_width": world.slot_width,
        "budgets": [int(k) for k in world.budgets],
        "sampling_steps": steps,
        "temperature": world.temperature,
        "action_names": list(world.action_names),
        "gap": world.gap,
        "tokenizer": world.tokenizer.fingerprint(),
        "lam": world.lam,
    }
    return Exported((*starts, _step(world, steps)), world.fingerprint(), facts)


def _start(world: TokenWorld, name: str, count: int) -> Function:
    def call(frames: jax.Array) -> Mapping[str, jax.Array]:
        return _named(world.start_program(frames))

    told = "frame" if count == 1 else f"{count} frames, the newest last"
    return Function(
        name,
        f"the state after {count} frame{'s' * (count > 1)}",
        (frames_of("frames", (count, *world.frame_shape), f"{told}, (B, T0, H, W, C)"),),
        dict.fromkeys(_shapes(world), "of the state"),
        call,
    )


def _step(world: TokenWorld, steps: int) -> Function:
    program, shapes = world.step_program(steps), _shapes(world)
    tree = jax.tree.structure(_state(world, 1))

    def call(*given: jax.Array) -> Mapping[str, jax.Array]:
        state = jax.tree.unflatten(tree, given[: len(shapes)])
        frames, state = program(state, *given[len(shapes) :])
        return {"frames": frames, **_named(state)}

    return Function(
        "step",
        "the next frame of every row and the state after it; the state that is given stays as it is",
        (
            *(Argument(name, *is_, "of the state") for name, is_ in shapes.items()),
            Argument(
                "codes", (ROWS, world.slots, world.slot_width), np.float32, "slots, (B, K, D)"
            ),
            Argument("keep", (ROWS,), np.int32, "how many slots count, 0..K; not checked"),
            Argument("seed", (), np.uint32, "of what is drawn"),
            Argument("temperature", (), np.float32, "of sampling, from 0"),
        ),
        {"frames": "(B, H, W, C)", **dict.fromkeys(shapes, "of the state")},
        call,
    )


def _state(world: TokenWorld, rows: int) -> Any:
    """The state's shapes."""
    frames = jax.ShapeDtypeStruct((rows, 1, *world.frame_shape), np.uint8)
    return jax.eval_shape(world.start_program, frames)


def _shapes(world: TokenWorld) -> dict[str, tuple[tuple[int | str, ...], Any]]:
    """(shape, type) of the arrays of a state, with rows wherever two numbers of them differ."""
    one, two = _named(_state(world, 1)), _named(_state(world, 2))
    return {
        name: (
            tuple(a if a == b else ROWS for a, b in zip(array.shape, two[name].shape, strict=True)),
            array.dtype,
        )
        for name, array in one.items()
    }


def _named(state: Any) -> dict[str, Any]:
    """The arrays of a state by their places in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {f"state{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}
