"""Augmentation: one draw per clip, a function of (seed, step), the same on any number of devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.config.settings import defaults
from flexlam_jax.errors import UserError
from flexlam_jax.frames import from_float, to_float
from flexlam_jax.objectives.objective import Mean, Objective, Outcome
from flexlam_jax.random import stream
from flexlam_jax.training import augmentation
from flexlam_jax.training.augmentation import AugmentationSettings, make_augmentation
from flexlam_jax.training.loop import fit
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.state import create_state
from flexlam_jax.training.step import make_train_step
from tests.training import toy

REPO = Path(__file__).resolve().parents[2]
ALL = dict(
    crop_scale=(0.4, 0.9),
    crop_aspect=(0.75, 1.33),
    shift=3,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
)
DEVICES = """
import json, jax, numpy as np, jax.numpy as jnp
from jax.sharding import PartitionSpec as P, NamedSharding
from flexlam_jax.training.augmentation import make_augmentation
from flexlam_jax.parallel.axes import BATCH_AXES
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.random import stream
from flexlam_jax.training.loop import fit
from flexlam_jax.objectives.objective import Mean, Objective, Outcome
from tests.training.test_augmentation import ALL, clips
mesh = make_mesh(dict(data=-1))
with jax.set_mesh(mesh):
    rows = NamedSharding(mesh, P(BATCH_AXES))
    frames = jax.device_put(clips(), rows)
    augment = jax.jit(lambda f, s: make_augmentation(ALL)({"frames": f}, stream(0, s, "a"))["frames"],
                      in_shardings=(rows, None), out_shardings=rows)
    out = np.asarray(augment(frames, 3))
print(json.dumps([len(jax.devices()), out.ravel().tolist()]))
"""


def clips(B=8, T=2, size=16):
    return np.random.default_rng(0).integers(0, 256, (B, T, size, size, 3), np.uint8)


def run(settings, frames, step=0, **more):
    augment = make_augmentation(settings)
    out = jax.jit(lambda b, s: augment(b, stream(0, s, "augmentation")))(
        {"frames": frames, **more}, step
    )
    return jax.tree.map(np.asarray, out)


@pytest.mark.parametrize("settings", [None, {}, defaults(AugmentationSettings)])
def test_off_is_off(settings):
    assert make_augmentation(settings) is None


def test_no_strength_is_the_identity():
    """The code of every part, run with draws that change nothing, returns the very pixels."""
    frames, box = clips(), {name: jnp.zeros(8) for name in ("top", "left", "shift_y", "shift_x")}
    unit = to_float(jnp.asarray(frames))
    box |= {"height": jnp.ones(8), "width": jnp.ones(8)}
    same = augmentation.resample(unit, box, shift_pixels=0)
    np.testing.assert_array_equal(same, unit)
    same = augmentation.jitter(same, jax.random.key(0), AugmentationSettings())
    np.testing.assert_array_equal(from_float(same, frames.dtype), frames)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_type_shape_range_and_other_entries_are_kept(dtype):
    frames = clips() if dtype == np.uint8 else clips().astype(np.float32) / 255
    out = run(ALL, frames, t=np.arange(8))
    assert out["frames"].dtype == dtype and out["frames"].shape == frames.shape
    assert 0 <= out["frames"].min() and out["frames"].max() <= (255 if dtype == np.uint8 else 1)
    assert (out["t"] == np.arange(8)).all()
    assert (out["frames"] != frames).any(axis=(1, 2, 3, 4)).all()


def test_frames_of_a_clip_share_the_draw_and_clips_do_not():
    frames = np.repeat(np.repeat(clips(B=1, T=1), 8, axis=0), 4, axis=1)  # All frames are equal.
    for settings in (
        ALL,
        dict(shift=3),
        dict(crop_scale=(0.3, 0.9)),
        dict(hue=0.3),
        dict(brightness=0.5),
        dict(contrast=0.5),
        dict(saturation=0.5),
    ):
        out = run(settings, frames)["frames"]
        assert (out == out[:, :1]).all(), settings
        assert len({clip.tobytes() for clip in out}) > 4, settings


def test_constant_motion_stays_constant():
    """A step edge that moves 2 pixels per frame moves 2 / width pixels of the crop per frame."""
    x = np.arange(32)
    ramp = np.stack([np.clip(x - 8 - 2 * t, 0, 8) / 8 for t in range(4)])  # (T, W)
    frames = np.broadcast_to(ramp[None, :, None, :, None], (8, 4, 32, 32, 3)).astype(np.float32)
    settings = AugmentationSettings(crop_scale=(0.6, 0.8), crop_aspect=(1.0, 1.3))
    box = augmentation.random_boxes(jax.random.key(1), 8, settings)
    out = np.asarray(augmentation.resample(jnp.asarray(frames), box))
    mass = out[:, :, 16, :, 0].sum(-1)  # Falls by the motion, unless the ramp leaves the crop.
    whole = (out[:, :, 16, 0, 0] < 1e-3) & (out[:, :, 16, -1, 0] > 1 - 1e-3)
    keep = whole.all(axis=1)
    assert keep.sum() >= 3
    expected = np.broadcast_to(-2 / np.asarray(box["width"])[keep, None], (keep.sum(), 3))
    np.testing.assert_allclose(np.diff(mass[keep]), expected, rtol=0.05)


def test_shift_moves_whole_pixels_and_repeats_the_edge():
    out = run(dict(shift=2), clips())["frames"]
    shifts = set()
    for before, after in zip(clips(), out, strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if (padded[:, y : y + 16, x : x + 16] == after).all()
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 3


def test_a_function_of_seed_and_step():
    first, again, later = (run(ALL, clips(), step)["frames"] for step in (4, 4, 5))
    assert (first == again).all() and (first != later).any()


def test_pair_shares_crop_and_shift_but_not_colours():
    frames = clips()
    moved = run(dict(crop_scale=(0.3, 0.9), shift=2), frames, frames_pair=frames)
    assert (moved["frames"] == moved["frames_pair"]).all()
    coloured = run(dict(brightness=0.5), frames, frames_pair=frames)
    assert (coloured["frames"] != coloured["frames_pair"]).any()


def test_hue_keeps_luma_and_grey():
    grey = np.full((8, 2, 4, 4, 3), 0.4, np.float32)
    np.testing.assert_allclose(run(dict(hue=0.5), grey)["frames"], grey, atol=1e-3)
    soft = np.random.default_rng(0).uniform(0.45, 0.55, (8, 2, 4, 4, 3)).astype(np.float32)
    turned, luma = (
        run(dict(hue=0.5, saturation=0.5), soft)["frames"],
        np.array([0.299, 0.587, 0.114]),
    )
    np.testing.assert_allclose(turned @ luma, soft @ luma, atol=2e-3)
    with pytest.raises(ValueError, match="need RGB frames, these have 1"):
        run(dict(hue=0.1), grey[..., :1])


def test_same_pixels_on_one_and_eight_devices():
    results = []
    for devices in ("1", "8"):
        done = subprocess.run(
            [sys.executable, "-c", DEVICES],
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices},
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    assert [r[0] for r in results] == [1, 8]
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1)  # Rounding to uint8.
    assert np.mean(np.array(results[0][1]) != results[1][1]) < 1e-3


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(crop=1), "unknown config key config.augmentation.crop; known: .*crop_scale"),
        (dict(crop_scale=(0.0, 1.0)), "crop_scale=\\(0.0, 1.0\\) is out of range"),
        (dict(crop_scale=(0.5, 1.2)), "crop_scale"),
        (dict(crop_aspect=(2.0, 1.0)), "crop_aspect"),
        (dict(shift=-1), "shift=-1 is out of range"),
        (dict(shift=0.5), "shift=0.5"),
        (dict(hue=0.6), "hue=0.6"),
        (dict(brightness=1.5), "brightness=1.5"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(UserError, match=message):
        make_augmentation(settings)


def test_the_step_augments_the_global_batch_before_it_is_cut_and_keeps_the_row_fingerprint():
    """The toy's x is shifted by a draw of (seed, step); micro-batches see their part of it."""
    config, objective = toy.config(), toy.objective()
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    batch = jax.tree.map(jnp.asarray, next(toy.Rows()))
    state = create_state(objective, optimizer, batch, seed=0, ema=False)

    def augment(batch, key):
        return dict(batch, x=batch["x"] + jax.random.normal(key, batch["x"].shape))

    def update(state, accumulate=1, augment=augment):
        return jax.jit(
            make_train_step(
                objective, optimizer, schedule, seed=0, augment=augment, accumulate=accumulate
            )
        )(state, batch)[1]

    plain, one, four = update(state, augment=None), update(state), update(state, accumulate=4)
    later = update(state.replace(step=state.step + 1))
    assert one["batch"] == plain["batch"] and one["loss"] != plain["loss"]
    assert one["loss"] != later["loss"]
    np.testing.assert_allclose(one["loss"], four["loss"], rtol=1e-5)
    expected = augment(batch, stream(0, 0, "augmentation"))
    np.testing.assert_allclose(
        one["loss"],
        objective.loss(
            objective.outcome(state.params, state.extra, expected, jax.random.key(0)).terms
        ),
        rtol=1e-5,
    )


def test_a_continued_run_draws_what_the_whole_run_drew(tmp_path):
    class Frames(toy.Rows):
        def __next__(self):
            number = self.next_index
            batch = super().__next__()
            rng = np.random.default_rng(number)
            return dict(batch, frames=rng.integers(0, 256, (8, 2, 8, 8, 3), np.uint8))

    def outcome(params, extra, batch, key):
        pixels = jnp.mean(batch["frames"].astype(jnp.float32), axis=(1, 2, 3)) / 255
        return Outcome({"mse": Mean.of((pixels @ params["w"] - 1) ** 2)}, extra=extra)

    objective = Objective(lambda key, batch: {"params": {"w": jnp.zeros(3)}}, outcome, {"mse": 1.0})

    def train(name, steps, settings):
        config = toy.config(total_steps=steps, optimizer__schedule="constant")
        config.augmentation = dict(settings)
        return np.asarray(fit(objective, Frames(), config, tmp_path / name).params["w"])

    settings = dict(brightness=0.5, shift=2)
    whole = train("whole", 6, settings)
    train("parts", 3, settings)
    np.testing.assert_array_equal(train("parts", 6, settings), whole)
    assert (train("plain", 6, {}) != whole).any()


def test_masks_and_depth_move_with_the_frames_and_keep_their_values():
    rng = np.random.default_rng(0)
    shape = (4, 2, 16, 16)
    mask = np.repeat(np.where(rng.random((4, 1, 16, 16, 1)) < 0.5, 255, 0), 2, 1).astype(np.uint8)
    batch = {
        "frames": rng.integers(0, 255, (*shape, 3), dtype=np.uint8),
        "frames_exogenous_mask": mask,
        "frames_depth": rng.integers(0, 255, (*shape, 1), dtype=np.uint8),
    }
    key = jax.random.key(0)
    colours = make_augmentation({"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1})
    out = colours(batch, key)
    assert (np.asarray(out["frames"]) != batch["frames"]).mean() > 0.5
    for name in ("frames_exogenous_mask", "frames_depth"):
        np.testing.assert_array_equal(out[name], batch[name])
    # A frame that shows its own mask shows it after a shift too.
    shown = {"frames": np.repeat(mask, 3, -1), "frames_exogenous_mask": mask}
    moved = make_augmentation({"shift": 4})(shown, key)
    np.testing.assert_array_equal(moved["frames"][..., :1], moved["frames_exogenous_mask"])
    assert (np.asarray(moved["frames_exogenous_mask"]) != mask).any()
