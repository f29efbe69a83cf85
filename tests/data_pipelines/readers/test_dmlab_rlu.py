"""DMLab as RL Unplugged published it: actions aligned, colours right, damage counted."""

import numpy as np
import pytest

from data_pipelines.readers.recordings import Recording, Skipped
from tests.data_pipelines.readers.dmlab_files import (
    frames_of,
    options,
    png,
    read_all,
    rlu_episode,
    times_of,
    write_rlu,
)


def test_rlu_frames_actions_and_colours(tmp_path):
    write_rlu(tmp_path, rlu_episode(3), rlu_episode(4))
    plan, (first, second) = read_all(options(tmp_path))
    (spec,) = plan.specs
    assert plan.sources["format"] == "rlu"
    assert (spec.name, spec.action.count, spec.fps) == ("dmlab_rooms_watermaze", 15, 15.0)
    assert times_of(first) == list(range(8))
    assert first.action.tolist() == [3, 4, 5, 6, 7, 8, 9]  # the action taken at the frame
    assert second.action.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert first.reward.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert first.episode_return == 3
    assert first.metadata["previous_action_agrees"] == 1
    assert frames_of(second)[2, 8, 8].tolist() == [20, 0, 200]  # blue-first PNGs are stored RGB
    _, (wrong, _) = read_all(options(tmp_path, "--channels=rgb"))
    assert frames_of(wrong)[2, 8, 8].tolist() == [200, 0, 20]


def test_rlu_shows_when_previous_actions_do_not_fit(tmp_path):
    before = np.eye(15, dtype=np.float32)[[(t + 3) % 15 for t in range(8)]].ravel().tolist()
    write_rlu(tmp_path, rlu_episode(3, observations_action=before))
    _, (recording,) = read_all(options(tmp_path))
    assert recording.metadata["previous_action_agrees"] == 0


def test_rlu_cut_file_keeps_its_complete_episodes(tmp_path):
    rng = np.random.default_rng(0)
    noisy = [png(rng.integers(0, 255, (72, 96, 3), np.uint8)) for _ in range(8)]
    last = rlu_episode(2, observations_pixels=noisy)  # large, so that the cut falls inside
    write_rlu(tmp_path, rlu_episode(0), rlu_episode(1), last, cut=5000)
    _, results = read_all(options(tmp_path))
    assert [type(result) for result in results] == [Recording, Recording, Skipped]
    assert results[-1].reason == "truncated file"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actions": [0] * 7}, "step count"),
        ({"observations_action": [0.0] * 15}, "step count"),
        ({"observations_pixels": []}, "not RL Unplugged"),
    ],
)
def test_rlu_bad_episode_is_skipped_alone(tmp_path, change, reason):
    bad = {key: value for key, value in rlu_episode(0, **change).items() if value}
    write_rlu(tmp_path, bad, rlu_episode(1))
    _, (skipped, good) = read_all(options(tmp_path))
    assert skipped.reason == reason
    assert good.action.tolist() == [1, 2, 3, 4, 5, 6, 7]
