"""Measures of worlds on one that obeys exactly and one that does not listen."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.world import clip_features, frechet, generation
from flexlam_jax.evaluation.world.clips import clips_of
from flexlam_jax.evaluation.world.code_draws import commanded, random_codes
from flexlam_jax.evaluation.world.code_motion import code_rows, motion_of, separation
from flexlam_jax.evaluation.world.delta_psnr import delta_psnr
from flexlam_jax.evaluation.world.effects import code_effects, codes_in_use
from flexlam_jax.evaluation.world.generation import Sampling, generate
from flexlam_jax.evaluation.world.latency import WARM_UP, latency
from flexlam_jax.evaluation.world.obedience import (
    Commanded,
    Pairs,
    cell,
    commanded_pairs,
    of_same_code,
    real_pairs,
    recalls,
    relative,
)
from flexlam_jax.evaluation.world.rollouts import horizon, horizon_curves
from flexlam_jax.evaluation.world.usage import usage_rows
from tests.evaluation.world.rolling import (
    SHIFTS,
    DeafWorld,
    RollingLam,
    RollingWorld,
    exact_reader,
    make_clips,
)

EXACT, DEAF, HOW = RollingWorld(), DeafWorld(), Sampling()


@pytest.fixture(scope="module")
def clips():
    return make_clips()


def flat(clips):
    return clips.slots.reshape(-1, 2, 1), clips.ids.reshape(-1, 2)


def test_clips_hold_the_codes_of_the_steps_after_the_context(clips):
    assert clips.slots.shape == (24, 4, 2, 1) and clips.horizon == 4 and len(clips) == 24
    np.testing.assert_array_equal(clips.ids[..., 0], clips.action)
    assert clips.start(1).shape[1] == 1 and clips.start(9).shape[1] == clips.context
    np.testing.assert_array_equal(clips.start(1)[:, 0], clips.last)
    with pytest.raises(UserError, match="at least one frame"):
        clips_of(RollingLam(), clips.frames, clips.frames.shape[1], None, clips.episode)


def test_a_world_that_obeys_generates_the_clip_in_batches_of_one_size(clips, monkeypatch):
    monkeypatch.setattr(generation, "ROWS", 10)
    seen, step = [], RollingWorld.step

    def watched(self, state, codes, keep=None, **how):
        seen.append((len(codes), how["seed"]))
        return step(self, state, codes, keep, **how)

    monkeypatch.setattr(RollingWorld, "step", watched)
    made = generate(EXACT, clips.start(2), clips.slots)
    np.testing.assert_array_equal(made, clips.target)
    assert {rows for rows, _ in seen} == {10} and len({seed for _, seed in seen}) == len(seen) == 12


def test_random_codes_are_prefixes_in_use_drawn_alike(clips):
    slots, ids = flat(clips)
    drawn = random_codes(slots, ids, 2, (2000, 1), seed=3)[:, 0, :, 0].astype(int)
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert {tuple(x) for x in found} == {tuple(x) for x in ids} and counts.min() > 150
    anything = random_codes(slots, None, 2, (5, 4), seed=3)
    assert anything.shape == (5, 4, 2, 1)


def test_commands_are_codes_of_transitions_with_the_action(clips):
    slots, ids = flat(clips)
    action = np.where(ids[:, 0] == 3, 2, ids[:, 0])  # Action 2 has two codes, 3 none.
    codes, occur = commanded(slots, action, 200, classes=5, seed=0)
    assert codes.shape == (200, 3, 2, 1) and occur.tolist() == [0, 1, 2]
    assert set(codes[:, 2, 0, 0].tolist()) == {2.0, 3.0} and set(codes[:, 1, 0, 0]) == {1.0}


def test_delta_psnr_is_what_codes_are_worth(clips):
    slots, ids = flat(clips)
    random = random_codes(slots, ids, 2, (len(clips), 4), seed=1)
    for world, told in ((EXACT, True), (DEAF, False)):
        inferred = generate(world, clips.start(2), clips.slots, 2)
        other = generate(world, clips.start(2), random, 2)
        found = delta_psnr(clips.target, inferred, other, clips.episode, (1, 4, 8))
        assert list(found) == [1, 4]  # The clips have no eighth step.
        for number in found.values():
            assert number.n == 6 and number.low <= number.mean <= number.high
            assert number.low > 20 if told else number.mean == 0


def test_horizon_beside_copying(clips):
    exact = horizon(clips.target, clips.target, clips.last, clips.episode)
    copied = np.repeat(clips.last[:, None], 4, 1)
    copy = horizon(clips.target, copied, clips.last, clips.episode)
    assert [row["t"] for row in exact] == [1, 2, 3, 4]
    assert all(row["ssim"].mean == pytest.approx(1) and row["gain_ssim"].low > 0 for row in exact)
    assert all(row["gain_ssim"].mean == row["gain_psnr"].mean == 0 for row in copy)
    assert copy[0]["psnr"] == copy[0]["copy_psnr"]
    psnr, ssim = horizon_curves({"a": exact, "b": copy})
    assert [one.name for one in ssim.series] == ["a", "b", "copying the last frame"]
    assert len(psnr.series[0].points) == 4


def test_obedience_is_one_or_chance(clips):
    real = real_pairs(clips)
    assert real.frames.shape[0] == 96 and cell(exact_reader, real, 4).mean == 1
    for world, wanted in ((EXACT, 1), (DEAF, 0.25)):
        made = commanded_pairs(world, clips, clips.slots, 1, 4, HOW)
        assert np.bincount(made.action).tolist() == [24] * 4
        assert cell(exact_reader, made, 4).mean == pytest.approx(wanted)
        reads = [(exact_reader(pairs.frames), pairs) for pairs in (made, real)]
        assert relative(*reads, 4).mean == pytest.approx(wanted)


def test_scores_are_means_over_actions_and_relative_to_the_probe():
    pairs = Pairs(
        frames=np.zeros((6, 2, 1, 1, 1), np.uint8),
        action=np.array([0] * 5 + [2]),
        episode=np.arange(6) % 3,
    )
    read = np.array([0, 0, 0, 0, 1, 2])
    number = cell(lambda frames: read, pairs, 3)
    assert number.mean == pytest.approx((4 / 5 + 1) / 2) and number.n == 3
    assert recalls(read, pairs, 3)[0].mean == pytest.approx(4 / 5)
    half = (np.array([0, 0, 0, 0, 1, 1]), pairs)
    assert relative(half, (read, pairs), 3).mean == pytest.approx(0.4 / 0.9)
    wrong = np.where(pairs.action == 0, 1, 0)  # A probe that reads nothing right measures nothing.
    assert relative((wrong, pairs), (wrong, pairs), 3) is None


def test_what_a_code_says_is_read_from_other_transitions_with_it():
    real = Commanded(action=np.array([0] * 5 + [2]), episode=np.arange(6) % 3)
    read = np.array([0, 0, 0, 0, 1, 2])
    ids = np.array([[7], [7], [7], [7], [3], [3]])
    assert of_same_code(ids, real, read, 3).mean == pytest.approx((4 / 5 + 0) / 2)
    assert of_same_code(np.arange(6)[:, None], real, read, 3) is None
    alone = np.array([[7], [7], [7], [7], [7], [3]])  # The only one of action 2, which is left out.
    assert of_same_code(alone, real, read, 3).mean == pytest.approx((4 * 3 / 4 + 1) / 5)


def test_motion_of_codes_is_known_and_told_apart_where_a_world_obeys(clips):
    slots, ids = flat(clips)
    in_use = codes_in_use(slots, ids, 1, most=4)
    assert in_use.share.tolist() == sorted(in_use.share, reverse=True)
    motion = motion_of(code_effects(EXACT, clips, in_use, HOW))
    for code, row in zip(in_use.ids[:, 0], code_rows(motion, clips.episode), strict=True):
        assert [row["dx"].mean, row["dy"].mean] == pytest.approx(SHIFTS[code], abs=0.5)
        assert row["spread"].mean < 0.7 and row["dx"].n == 3  # Half of the episodes.
    told = separation(motion, clips.episode)
    assert told["explained"].mean > 0.9 and told["accuracy"].mean == 1
    told = separation(motion_of(code_effects(DEAF, clips, in_use, HOW)), clips.episode)
    assert told["accuracy"].mean == pytest.approx(0.25) and told["explained"].mean < 0.1
    with pytest.raises(UserError, match="at least two episodes"):
        separation(motion, np.zeros(24, int))


def test_latency_is_that_of_the_steps_after_the_warm_up(clips):
    readings = iter(np.arange(1000) * 0.001)  # Each look at the clock is a millisecond later.
    clock = lambda: next(readings)
    found = latency(EXACT, clips.start(2)[:1], clips.slots.reshape(-1, 2, 1)[:50], clock=clock)
    assert found["p50"].mean == pytest.approx(1) and found["fps"].mean == pytest.approx(1000)
    assert found["p95"].n == 50 and next(readings) == pytest.approx(0.1) and WARM_UP > 0


def test_frechet_of_known_gaussians_and_of_clips_against_their_like():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 20000, 3))
    far = frechet.frechet(one, 2 * other + np.array([3, 0, 0]))
    assert far == pytest.approx(9 + 3 * (1 - 2) ** 2, rel=0.03)
    real, episode = rng.standard_normal((240, 4)), np.repeat(np.arange(24), 10)
    same = frechet.distances(real, real, episode)
    assert same["excess"].mean == 0 and same["floor"].mean > 0
    moved = frechet.distances(real, real + 1, episode)
    assert moved["excess"].low > 2 and moved["frechet"].n == 10
    with pytest.raises(UserError, match="fewer than four episodes"):
        frechet.distances(real, real, episode % 3)
    assert "fewer than two" in frechet.why_not(np.arange(4))
    assert np.isfinite(frechet.distances(real[:8], real[:8], np.arange(8) // 2)["excess"].high)


def test_features_of_clips_are_of_one_space_for_good(clips):
    features = clip_features.clip_features(clips.frames[:18])  # One batch, and a padded one.
    assert features.shape == (18, clip_features.WIDTH)
    still = clip_features.clip_features(np.repeat(clips.last[:18, None], 6, 1))
    deviations = slice(clip_features.WIDTH // 2, None)
    assert np.abs(still[:, deviations]).max() < 1e-5 < features[:, deviations].min() + 1e-4
    first = clip_features._weights(6)[0].reshape(-1)[:2]
    expected = np.random.RandomState(0).standard_normal(2) * np.sqrt(2 / 96)
    np.testing.assert_allclose(first, expected, rtol=1e-6)


def test_usage_counts_slots_and_prefixes(clips):
    _, ids = flat(clips)
    rows = usage_rows(ids, 4, (1, 2), np.repeat(clips.episode, 4))
    assert [(row["what"], row["used"], row["of"]) for row in rows] == [
        ("slot 1", 4, 4),
        ("slot 2", 2, 4),
        ("first 2 slots", 8, 16),
    ]
    assert 6 < rows[2]["perplexity"].mean <= 8
