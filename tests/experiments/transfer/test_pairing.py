"""Which frames codes are carried to."""

import numpy as np
import pytest

from experiments.transfer.pairing import (
    COLUMNS,
    Rows,
    _pairs,
    random_targets,
    similar_targets,
)
from flexlam_jax.errors import UserError


def rows(dataset, episodes, seed=0, size=32):
    frames = np.random.default_rng(seed).integers(0, 255, (len(episodes), 2, size, size, 3))
    keys = [(dataset, episode, t) for t, episode in enumerate(episodes)]
    return Rows(frames.astype(np.uint8), None, keys)


def test_random_targets_are_of_another_episode():
    sources, targets = rows("a", [0, 0, 1, 2] * 20), rows("a", [0] * 9 + [3])
    chosen = random_targets(sources, targets, seed=1)
    mine = np.array([key[1] for key in sources.keys])
    assert (chosen[mine == 0] == 9).all() and (chosen[mine == 1] < 9).any()
    assert (random_targets(sources, targets, seed=1) == chosen).all()
    other = rows("b", [0, 0])  # The same number of another dataset is another episode.
    assert set(random_targets(sources, other, 0)) == {0, 1}


def test_one_episode_alone_is_refused():
    with pytest.raises(UserError, match="all target frames are of one episode, a/0"):
        random_targets(rows("a", [0, 1]), rows("a", [0, 0]), 0)


def test_similar_targets_are_the_frames_that_look_alike():
    sources, targets = rows("a", [0, 1, 2]), rows("b", [5] * 6, seed=3)
    for source, target in enumerate((4, 2, 0)):
        darker = (sources.frames[source].astype(int) * 0.5 + 20).astype(np.uint8)
        targets.frames[target] = darker  # Its brightness does not matter; contrast does, a little.
    assert similar_targets(sources, targets).tolist() == [4, 2, 0]
    # Of its own episode there is always one that is most alike, and says nothing.
    own = Rows(sources.frames, None, [("a", 0, 0), ("a", 1, 1), ("a", 2, 2)])
    assert (similar_targets(sources, own) != np.arange(3)).all()
    with pytest.raises(UserError, match="have 8 x 8 pixels; give --pairs=random"):
        similar_targets(rows("a", [0, 1], size=8), rows("b", [0, 1], size=8))


def test_pairs_by_hand(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text(",".join(COLUMNS) + "\na,0,3,b,1,2\na,1, 4,b,1,2\n")
    assert _pairs(str(file)) == [(("a", 0, 3), ("b", 1, 2)), (("a", 1, 4), ("b", 1, 2))]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,0,3,b,1\na,0,3,b,1,2", "line 2: give a value in each of the columns source_dataset"),
        ("a,0,3,b,1,2\na,x,3,b,1,2", "line 3: .* whole numbers"),
        ("a,0,3,b,1,-2\na,0,3,b,1,2", "line 2"),
        ("a,0,3,b,1,2", "has 1 pairs; give two at least"),
    ],
)
def test_lines_that_are_no_pairs(text, message, tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text(",".join(COLUMNS) + "\n" + text + "\n")
    with pytest.raises(UserError, match=message):
        _pairs(str(file))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read .* give random, similar, or a CSV file"):
        _pairs(str(tmp_path / "none.csv"))
