"""Video of another folder behind the scene: its frames in order, whichever records hold them."""

import numpy as np
import pytest

from data_pipelines.distractors.background import background
from data_pipelines.distractors.composite import distract, distractors
from data_pipelines.distractors.moves import Moves
from data_pipelines.distractors.video import video_frames
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options

STILL = Moves(np.zeros((59, 2)))


def held(folder):
    """{episode: its frames (N, S, S, 3)} of the split train."""
    episodes = {}
    for batch in ordered_batches(folder, split="train", batch_size=200):
        for episode, t, frames in zip(batch["episode"], batch["t"], batch["frames"], strict=True):
            episodes.setdefault(int(episode), {}).update({t: frames[0], t + 1: frames[1]})
    return {key: np.stack([each[t] for t in sorted(each)]) for key, each in episodes.items()}


def test_frames_follow_on_one_another_and_turn_around(square):
    episodes = held(square)
    used = set()
    for seed in range(12):
        shown = video_frames(str(square), 60, 16, np.random.default_rng(seed))
        assert shown.shape == (60, 16, 16, 3)
        (episode,) = (
            e for e, frames in episodes.items() if (frames == shown[0]).all((1, 2, 3)).any()
        )
        frames = episodes[episode]
        times = np.array([np.flatnonzero((frames == one).all((1, 2, 3))) for one in shown], object)
        # 27 frames, so 60 of them turn around at both ends; a square that rests shows twice.
        step = [
            min(abs(b - a).min() for a in one) for one, b in zip(times[:-1], times[1:], strict=True)
        ]
        assert max(step) <= 1 and {0, 26} <= {int(t) for one in times for t in one}
        used.add(episode)
    assert len(used) > 3


def test_the_video_scrolls_behind_what_is_far_and_nowhere_else(square):
    frames = np.full((60, 16, 16, 3), 250, np.uint8)
    far = np.zeros((60, 16, 16, 1), np.uint8)
    far[:, :9] = 255
    added = [
        distractors(STILL, 16, {"background": 1.0}, (seed,), video=str(square))
        for seed in (1, 1, 2)
    ]
    one, same, other = (distract(frames, each, far) for each in added)
    np.testing.assert_array_equal(one.frames, same.frames)
    assert (one.frames != other.frames).mean() > 0.3
    np.testing.assert_array_equal(one.mask, far)
    np.testing.assert_array_equal(one.frames[:, 9:], 250)
    x, y = np.floor(added[0].state[:, :2]).astype(int).T
    assert 0 <= min(x) and 16 < max(x) < 32  # the pattern and its mirror image
    layer = background(STILL, 16, 1.0, np.random.default_rng(5), video=str(square))
    video = video_frames(str(square), 60, 16, np.random.default_rng(5))
    both = np.concatenate([video, video[:, ::-1]], 1)
    both = np.concatenate([both, both[:, :, ::-1]], 2)
    for t in (0, 31, 59):
        drawn, mask = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), bool)
        layer.paint(t, drawn, mask, np.ones((16, 16), bool))
        x, y = np.floor(layer.state[t, :2]).astype(int)
        np.testing.assert_array_equal(drawn, np.roll(both[t], (y, x), (0, 1))[:16, :16])


def test_options_name_what_the_folder_holds(square, tmp_path):
    options = recipe_options("doom", "--distractor=background", f"--distractor-video={square}")
    content = open_dataset(square).manifest["content_hash"]
    assert options["distractor_video"] == {"path": str(square), "content": content}
    with pytest.raises(DataError, match="give --distractor=background too"):
        recipe_options("doom", "--distractor=sprites", f"--distractor-video={square}")
    with pytest.raises(DataError, match="no such dataset folder"):
        recipe_options("doom", "--distractor=background", f"--distractor-video={tmp_path / 'no'}")
    with pytest.raises(DataError, match="--distractor-video without a distractor"):
        recipe_options("doom", f"--distractor-video={square}")
