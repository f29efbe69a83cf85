"""What experiments/benchmark.py times of skills and of the policies that use them.

Programs that are compared run in turns. Beside the clock, CPU seconds of the whole process are told,
which other work on the machine changes less.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.tasks.registry import as_run, kind_of
from flexlam_jax.errors import UserError
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy
from flexlam_jax.models import chunking
from flexlam_jax.models.baku import build_chunk_policy
from flexlam_jax.models.chunk_stage import ChunkStage
from flexlam_jax.models.hilam import build_hilam
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.stepwise_stack import Stack
from flexlam_jax.models.transformer import BlockSettings

SHAPE = (64, 256, 256)  # rows, positions, width
_TARGET = 6.0  # positions per chunk
_BLOCK = BlockSettings(heads=4, mlp_hidden=1024, unroll=True)
_STEPS = 100  # of an episode


def chunking_speed(repeats: int) -> dict[str, Any]:
    """Forward and backward pass over SHAPE: of two transformer blocks, of the chunker alone with
    nothing inside, and of a stage of one block before and one behind it.

    `speed` is the rate of each as a share of that of the two blocks, by CPU seconds.
    """
    x = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE), jnp.float32)
    programs = {
        "transformer": _program(_stack(2), x),
        "chunker": _program(_stage(0), x),
        "stage": _program(_stage(1), x),
    }
    found = in_turns(programs, repeats)
    base = found["transformer"]["cpu_seconds"]
    return {**found, "speed": {name: base / row["cpu_seconds"] for name, row in found.items()}}


def _stack(layers: int) -> Stack:
    return Stack(SHAPE[2], layers, _BLOCK)


def _stage(layers: int) -> ChunkStage:
    return ChunkStage(_stack(layers), _stack(0), _stack(layers), SHAPE[2])


def _program(model: Any, x: jax.Array) -> Callable[[], Any]:
    """Gradients in parameters and input of the sum of squares, and of the ratio loss of stages."""
    valid = jnp.ones(x.shape[:2], bool)
    variables = jax.jit(model.init)(jax.random.key(0), x[:1, :2], valid[:1, :2])

    def loss(variables: Any, x: jax.Array) -> jax.Array:
        out, stages = model.apply(variables, x, valid)
        total = jnp.mean(jnp.square(out))
        for stage in stages:
            total += chunking.ratio_loss(stage.probability, stage.boundary, stage.valid, _TARGET)
        return total

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return lambda: gradient(variables, x)


def in_turns(
    programs: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, dict[str, float]]:
    """{program: median cpu_seconds and seconds of a call}, after one call of each that compiles."""
    cpu: dict[str, list[float]] = {name: [] for name in programs}
    wall: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats + 1):
        for name, program in programs.items():
            start = time.process_time(), time.perf_counter()
            jax.block_until_ready(program())
            cpu[name].append(time.process_time() - start[0])
            wall[name].append(time.perf_counter() - start[1])
    return {
        name: {
            "cpu_seconds": statistics.median(cpu[name][1:]),
            "seconds": statistics.median(wall[name][1:]),
        }
        for name in programs
    }


def step_rate(config: Any, repeats: int) -> dict[str, float]:
    """An episode of one row, step by step: of skills `advance`, of a chunk policy `decide`, with
    random parameters.

    Raises:
      UserError: a config of another kind.
    """
    makers = {"hilam": _advancing, "policy": _deciding}
    if kind_of(config) not in makers:
        raise UserError(
            f"config.kind={kind_of(config)!r}: steps are measured of {' and '.join(makers)}"
        )
    episode = makers[kind_of(config)](as_run(config))
    (took,) = in_turns({"episode": episode}, repeats).values()
    return {
        "steps": _STEPS,
        "steps_per_cpu_second": _STEPS / took["cpu_seconds"],
        "steps_per_second": _STEPS / took["seconds"],
    }


def _advancing(config: Any) -> Callable[[], None]:
    """Skills of a sequence, in a state with room for the episode."""
    model = build_hilam(config.model, config.codes, config.latents)
    latents, go = jnp.zeros((1, 2, model.size)), jnp.ones((1, 2), bool)
    variables = jax.jit(model.init)(jax.random.key(0), latents, go)
    start = model.apply(variables, 1, _STEPS, method="start")
    step = jax.jit(lambda *given: model.apply(*given, method="step"))
    rows = np.random.default_rng(0).normal(size=(_STEPS, 1, model.size)).astype(np.float32)

    def episode() -> None:
        state = start
        for row in rows:
            expected, state, _ = step(variables, row, go[:, 0], state)
            expected.block_until_ready()  # As who acts waits for it.

    return episode


def _deciding(config: Any) -> Callable[[], None]:
    """A policy, asked as one that acts asks it: pictures of the host, sentences as text."""
    config = config.to_dict()
    model = build_chunk_policy(config["model"], config["reads"], config["predicts"])
    policy = LoadedChunkPolicy(model, {}, config, 0)
    policy.variables = jax.jit(policy.initialise)(jax.random.key(0))
    shape = frame_shape(config["model"])
    frames = {camera: np.zeros((1, *shape), np.uint8) for camera in policy.cameras}
    proprio, skill = (
        np.zeros((1, width), np.float32) for width in (policy.proprio_width, policy.skill_width)
    )

    def episode() -> None:
        for _ in range(_STEPS):
            policy.decide(frames, proprio, ["open the drawer"], skill)

    return episode
