"""Worlds whose answers are known: pictures that roll as the code says, and one that does not listen."""

import numpy as np

from flexlam_jax.evaluation.world.clips import clips_of

SIZE = 32
SHIFTS = np.array([[0, 0], [3, 0], [-3, 0], [0, 3]])  # (dx, dy) of the four codes of slot 1
BRIGHTER = np.array([-6, 6, 0, 0])  # of slot 2; two of its codes are in use
NAMES = ("stay", "right", "left", "down")


def rolled(frames, codes):
    """Frames (B, H, W, C) after codes int (B, 2)."""
    moved = [
        np.roll(x, SHIFTS[code[0]][::-1], (0, 1)) for x, code in zip(frames, codes, strict=True)
    ]
    return (np.stack(moved).astype(int) + BRIGHTER[codes[:, 1]][:, None, None, None]).astype(
        np.uint8
    )


class RollingLam:
    """Reads both codes of a transition without error."""

    slots, slot_width, codebook_size, budgets, step = 2, 1, 4, (1, 2), 7
    frame_shape = (SIZE, SIZE, 3)
    null = np.full(1, 9, np.float32)

    def encode_with_ids(self, o_t, o_next):
        every = np.stack(np.meshgrid(range(4), range(2), indexing="ij"), -1).reshape(-1, 2)
        ids = np.zeros((len(o_t), 2), np.int32)
        for code in every:
            same = rolled(o_t, np.tile(code, (len(o_t), 1))) == o_next
            ids[same.all((1, 2, 3))] = code
        return ids[..., None].astype(np.float32), ids

    def fingerprint(self):
        return "of the rolling model"


class RollingWorld:
    """Obeys exactly. A slot that is not kept is code 0 of slot 1, and no change of brightness."""

    frame_shape, history = (SIZE, SIZE, 3), 2
    slots, slot_width, budgets, sampling_steps = 2, 1, (1, 2), 0

    def start(self, frames):
        assert frames.dtype == np.uint8 and 1 <= frames.shape[1] <= self.history
        return frames[:, -1]

    def step(self, state, codes, keep=None, *, seed=0, steps=None, temperature=None):
        keep = 2 if keep is None else keep
        codes = np.rint(np.asarray(codes)[..., 0]).astype(int)
        codes = np.where(np.arange(2) < keep, codes, [0, 2])
        frames = rolled(state, codes)
        return frames, frames


class DeafWorld(RollingWorld):
    """Rolls to the right, whatever it is told."""

    def step(self, state, codes, keep=None, **how):
        return super().step(state, np.broadcast_to([[1.0], [2.0]], codes.shape), 2, **how)


def make_clips(episodes=6, each=4, steps=4, context=2, seed=0, actions=True):
    """Clips of the rolling world; the action is the code of slot 1."""
    rng = np.random.default_rng(seed)
    count = episodes * each
    coarse = rng.integers(60, 190, (count, SIZE // 4, SIZE // 4, 3)).astype(np.uint8)
    frames = [np.repeat(np.repeat(coarse, 4, 1), 4, 2)]
    codes = np.stack([rng.integers(0, 4, (count, 8)), rng.integers(0, 2, (count, 8))], -1)
    for t in range(context + steps - 1):
        frames.append(rolled(frames[-1], codes[:, t]))
    action = codes[:, : context + steps - 1, 0] if actions else None
    episode = np.repeat(np.arange(episodes), each)
    return clips_of(RollingLam(), np.stack(frames, 1), context, action, episode)


def exact_reader(frames):
    """Which of the four shifts explains each pair best."""
    before, after = frames[:, 0].astype(int), frames[:, 1].astype(int)
    far = [
        np.abs(np.roll(before, tuple(shift[::-1]), (1, 2)) - after).mean((1, 2, 3))
        for shift in SHIFTS
    ]
    return np.argmin(far, 0)
