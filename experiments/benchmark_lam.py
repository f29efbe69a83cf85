"""What experiments/benchmark.py times of latent action models alone: parts of a step, encoding.

Programs that are compared run in turns, so that a machine that slows down slows all of them down.
"""

import statistics
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark_run import build_micro_batch, timed
from experiments.tasks.registry import kind_of
from flexlam_jax.errors import UserError
from flexlam_jax.models.lam import LatentActionModel, build_lam
from flexlam_jax.training.optimizer import make_optimizer, make_schedule


def parts(config: Any, repeats: int) -> dict[str, float]:
    """Seconds of a step's parts, each a program of its own, in turns with the whole step.

    encoder    forward and backward, with a sum for a loss
    decoder    the same, from o_t and slots
    optimizer  clipping and AdamW on given gradients

    They need not add up: losses and metrics are in none, and fusion across parts spares copies. Of
    one micro-batch, where the preset has several or the device cannot hold them together.
    """
    model, run = _model(config), build_micro_batch(config)
    frames = run.batch["frames"]
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)

    def encoder(params, extra):
        return jnp.sum(model.apply({"params": params, **extra}, frames, method="encode")[0])

    def decoder(params, slots):
        return jnp.sum(model.apply({"params": params}, frames[:, :-1], slots, method="decode"))

    with jax.set_mesh(run.mesh):
        # Copies, because the step takes the state's own arrays with it.
        state = jax.tree.map(jnp.copy, run.state)
        params, moments = state.params, state.opt_state
        slots = jax.jit(lambda v: model.apply(v, frames, method="encode")[0])(state.variables)
        programs = {
            "encoder": (jax.jit(jax.grad(encoder)), params, state.extra),
            "decoder": (jax.jit(jax.grad(decoder, (0, 1))), params, slots),
            "optimizer": (jax.jit(optimizer.update), params, moments, params),
        }
        seconds: dict[str, list[float]] = {name: [] for name in (*programs, "step")}
        for _ in range(repeats + 1):
            for name, (program, *arguments) in programs.items():
                seconds[name].append(timed(program, *arguments)[0])
            took, (run.state, _) = timed(run.program.step, run.state, run.batch)
            seconds["step"].append(took)
    # The first of each compiles.
    return {f"{name}_seconds": statistics.median(values[1:]) for name, values in seconds.items()}


def encode(config: Any, repeats: int) -> dict[str, float]:
    """Slots of a batch of clips, as in labelling a data set; of a micro-batch, as `parts`."""
    model, run = _model(config), build_micro_batch(config)
    program = jax.jit(lambda v, f: model.apply(v, f, method="encode")[0])
    with jax.set_mesh(run.mesh):
        arguments = run.state.variables, run.batch["frames"]
        seconds = [timed(program, *arguments)[0] for _ in range(repeats + 1)][1:]
    return {"transitions_per_second": run.transitions / statistics.median(seconds)}


def _model(config: Any) -> LatentActionModel:
    """Raises UserError for a config of another kind."""
    if kind_of(config) != "lam":
        raise UserError(
            f"config.kind={kind_of(config)!r}: parts and encode are measured of latent action "
            "models only; any kind has --what=train,loader,checkpoint"
        )
    return build_lam(config.model)
