"""A world that moves a picture by the code, and what a page of it is made of."""

import contextlib
import threading

import numpy as np
from aiohttp.test_utils import TestClient, TestServer, unused_port

from experiments.play.controls import Code, Keyboard
from experiments.play.server import create_app
from experiments.play.stage import Stage
from flexlam_jax.world.world import World

SIZE = 16
MOVES = {"stay": (0, 0), "left": (-1, 0), "right": (1, 0)}


class ShiftWorld:
    """Rolls the picture by the first slot; `gate` holds a step up, `fail` is raised in one."""

    frame_shape = (SIZE, SIZE, 3)
    history, slots, slot_width, budgets, sampling_steps = 1, 2, 2, (1, 2), 0

    def __init__(self):
        self.gate, self.entered, self.fail, self.steps = threading.Event(), 0, None, 0
        self.gate.set()

    def start(self, frames):
        if frames.shape[2:] != self.frame_shape:
            raise ValueError(f"start: frames are {frames.shape}")
        return frames[:, -1]

    def step(self, state, codes, keep=None, *, seed=0, steps=None, temperature=None):
        self.entered += 1
        self.gate.wait(10)
        self.steps += 1
        if self.fail is not None:
            raise self.fail
        x, y = np.asarray(codes)[0, 0].astype(int)
        frames = np.roll(state, (y, x), (1, 2))
        return frames, frames


assert isinstance(ShiftWorld(), World)


def keyboard(keep):
    codes = []
    for action, (name, move) in enumerate(MOVES.items()):
        slots = np.zeros((2, 2), np.float32)
        slots[0] = move
        codes.append(Code(slots, f"{action}", 1 / 3, move, action=action, action_name=name))
    return Keyboard(keep, codes, 3, {name: n for n, name in enumerate(MOVES)}, 0)


CONTROLS = {keep: keyboard(keep) for keep in ShiftWorld.budgets}


def pictures(count=2):
    return np.random.default_rng(0).integers(0, 255, (count, 1, SIZE, SIZE, 3), np.uint8)


def stage(**changes):
    given = {
        "world": ShiftWorld(),
        "controls": CONTROLS,
        "starts": pictures(),
        "labels": ("first", "second"),
        "names": tuple(MOVES),
        "fps": 50.0,
    }
    return Stage(**(given | changes))


@contextlib.asynccontextmanager
async def client_of(one):
    """An aiohttp client of a server of the stage; its address is the one the guard expects."""
    port = unused_port()
    server = TestServer(create_app(one, port), port=port)
    async with TestClient(server) as client:
        yield client
