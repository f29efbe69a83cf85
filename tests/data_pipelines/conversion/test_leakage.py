"""The leak check finds copies of motion and is not fooled by stillness or by a common start."""

import numpy as np
import pytest

from data_pipelines.conversion.leakage import WINDOW, EpisodeHashes, check_leakage, window_hashes
from data_pipelines.errors import DataError


def frames(seed, count=60):
    return np.random.default_rng(seed).integers(1, 2**63, count).astype(np.uint64)


def episode(split, number, hashes):
    return EpisodeHashes("square", split, number, np.asarray(hashes, np.uint64))


def test_distinct_episodes_pass_and_are_counted():
    result = check_leakage([episode("train", 0, frames(0)), episode("test", 1, frames(1))])
    assert result == {"windows": 2 * (60 - WINDOW + 1), "shared_starts": 0}


def test_a_copied_piece_is_found_at_any_offset():
    a, b = frames(0), frames(1)
    b[7 : 7 + WINDOW] = a[31 : 31 + WINDOW]
    message = (
        f"{WINDOW} consecutive frames occur in square episode 0 .train, from frame 31. and in "
        "square episode 4 .test, from frame 7.*Take the duplicate out of the source"
    )
    with pytest.raises(DataError, match=message):
        check_leakage([episode("train", 0, a), episode("test", 4, b)])
    assert check_leakage([episode("train", 0, a), episode("train", 4, b)])["shared_starts"] == 0


def test_a_whole_copy_is_found_even_if_short():
    for count in (5, WINDOW, 60):
        with pytest.raises(DataError, match="split leakage"):
            check_leakage(
                [episode("train", 0, frames(0, count)), episode("validation", 1, frames(0, count))]
            )


def test_still_pictures_are_no_leak():
    a, b = frames(0), frames(1)
    a[10:40] = 7
    b[20:50] = 7
    assert check_leakage([episode("train", 0, a), episode("test", 1, b)])["shared_starts"] == 0


def test_a_common_start_is_reported_and_a_long_one_refused():
    a, b = frames(0), frames(1)
    b[:25] = a[:25]
    assert check_leakage([episode("train", 0, a), episode("test", 1, b)])["shared_starts"] == 1
    b[:40] = a[:40]
    with pytest.raises(DataError, match="split leakage"):
        check_leakage([episode("train", 0, a), episode("test", 1, b)])


def test_window_hash_depends_on_order():
    a = frames(0, WINDOW)
    (_, forward), (_, backward) = window_hashes(a), window_hashes(a[::-1])
    assert forward[0] != backward[0]


def test_a_sample_of_windows_finds_a_long_copy(monkeypatch):
    """Windows are sampled by their content: both copies keep the same ones."""
    monkeypatch.setattr("data_pipelines.conversion.leakage.MAX_WINDOWS", 100)
    a, b = frames(0, 400), frames(1, 400)
    distinct = check_leakage([episode("train", 0, a), episode("test", 4, b)])
    assert 20 < distinct["windows"] < 200
    b[100:300] = a[50:250]
    with pytest.raises(DataError, match="split leakage"):
        check_leakage([episode("train", 0, a), episode("test", 4, b)])
