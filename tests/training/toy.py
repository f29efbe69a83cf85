"""A linear regression that trains in microseconds, and endless data for it."""

import os
import signal

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from flexlam_jax.objectives.objective import Mean, Objective, Outcome
from flexlam_jax.objectives.terms import Term, objective_of

WIDTH = 8


class Rows:
    """Batch n is a function of (seed, n), as the real loader's."""

    def __init__(self, seed=0, batch_size=8, rows=slice(None), nan_at=None, end=None):
        self.seed, self.batch_size, self.nan_at, self.end = seed, batch_size, nan_at, end
        self.rows = rows
        self.next_index, self.closed = 0, False

    def __next__(self):
        number = self.next_index
        if number == self.end:
            raise StopIteration
        self.next_index += 1
        rng = np.random.default_rng((self.seed, number))
        x = rng.normal(size=(self.batch_size, WIDTH)).astype(np.float32)
        y = x @ np.linspace(-1, 1, WIDTH, dtype=np.float32)[:, None]
        if number == self.nan_at:
            y[:] = np.nan
        rows = np.arange(self.batch_size)
        batch = {
            "x": x,
            "y": y,
            "episode": number * 1000 + rows.astype(np.int64),
            "t": rows.astype(np.int32),
        }
        return {name: value[self.rows] for name, value in batch.items()}

    def get_state(self):
        return {"next_index": self.next_index}

    def set_state(self, state):
        self.next_index = state["next_index"]

    def close(self):
        self.closed = True


class StopAt(Rows):
    """Sends this process a signal while batch `at` is drawn."""

    def __init__(self, at, number=signal.SIGTERM):
        super().__init__()
        self.at, self.number = at, number

    def __next__(self):
        if self.next_index == self.at:
            os.kill(os.getpid(), self.number)
        return super().__next__()


def objective(hidden=16, noise=0.0, count_updates=False):
    """MLP regression; `noise` makes the loss random, `count_updates` adds an extra collection."""

    def init(key, batch):
        first, second = jax.random.split(key)
        params = {
            "mlp": {
                "up": {
                    "kernel": jax.random.normal(first, (batch["x"].shape[1], hidden)) * 0.3,
                    "bias": jnp.zeros(hidden),
                },
                "down": {"kernel": jax.random.normal(second, (hidden, 1)) * 0.3},
            }
        }
        return {"params": params, **({"counter": {"n": jnp.zeros(())}} if count_updates else {})}

    def outcome(params, extra, batch, key):
        mlp = params["mlp"]
        h = jnp.tanh(batch["x"] @ mlp["up"]["kernel"] + mlp["up"]["bias"])
        error = h @ mlp["down"]["kernel"] - batch["y"]
        drift = Mean.of(jax.random.normal(key) * h)
        extra = {"counter": {"n": extra["counter"]["n"] + 1}} if count_updates else extra
        terms = {"mse": Mean.of(error**2), "drift": drift}
        return Outcome(terms, {"mae": Mean.of(jnp.abs(error))}, extra=extra)

    return Objective(init, outcome, {"mse": 1.0, "drift": noise}, flops_per_row=6 * WIDTH * hidden)


def masked(**settings):
    """A linear model: an error of the first rows only, and a head that guesses `t` from the guess.

    `settings` are those of the second term.
    """

    def error(params, guess, batch, key):
        return Mean.of((guess - batch["y"]) ** 2, batch["t"][:, None] < 3)

    def index(head, guess, batch, key):
        return Mean.of((guess @ head - batch["t"][:, None]) ** 2)

    return objective_of(
        lambda key, batch: {"params": {"w": 0.1 * jax.random.normal(key, (WIDTH, 1))}},
        lambda params, extra, batch, key: (batch["x"] @ params["w"], extra),
        [
            Term("error", error),
            Term("t", index, init=lambda *_: jnp.ones((1, 1)), **{"coefficient": 0.5, **settings}),
        ],
    )


def config(**overrides):
    """`section__key=value` sets config.section.key."""
    c = ml_collections.ConfigDict(
        dict(
            seed=0,
            total_steps=12,
            batch_size=8,
            peak_tflops=0.1,
            data=dict(path="here", threads=1),
            optimizer=dict(
                learning_rate=1e-2,
                schedule="cosine",
                warmup_steps=2,
                decay_fraction=0.2,
                weight_decay=1e-2,
                clip_norm=1.0,
                b1=0.9,
                b2=0.99,
                accumulate=1,
                ema_decay=0.9,
            ),
            mesh=dict(data=-1, fsdp=1, model=1),
            checkpoint=dict(every=5, keep=2),
            log=dict(every=2, tensorboard=False, wandb=""),
            eval=dict(every=4, batches=1),
        )
    )
    for name, value in overrides.items():
        c.update_from_flattened_dict({name.replace("__", "."): value})
    return c
