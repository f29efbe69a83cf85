"""A file that cannot be opened weighs what its size lets expect, not what small files hold."""

import os

import h5py
import numpy as np
import pytest

from data_pipelines.conversion.losses import Loss, weigh
from data_pipelines.readers.files.lost_files import estimated, unknown, whole_size
from data_pipelines.readers.recordings import Item, Skipped


def write_demos(path, count, libver="earliest"):
    with h5py.File(path, "w", libver=libver) as file:
        for i in range(count):
            file[f"data/demo_{i}/obs"] = np.full((10, 16, 16, 3), i, np.uint8)
    return path.stat().st_size


def unreadable(name):
    return Skipped(name, "unreadable", "damaged", episodes=None)


def lost(folder, names, skipped):
    items = [Item(f"{name}:{i}", {"file": name}) for name in names for i in range(2)]
    kept = {item.name: 1 for item in items}
    return weigh(estimated(folder, items, skipped), kept, len(items) * 10)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_cut_file_counts_as_many_as_it_had(tmp_path, libver):
    for name in "abc":
        write_demos(tmp_path / name, 2, libver)
    size = write_demos(tmp_path / "big", 30, libver)
    os.truncate(tmp_path / "big", size // 3)
    assert whole_size(tmp_path / "big") == size
    loss = lost(tmp_path, "abc", [unreadable("big")])
    assert 24 <= loss.lost <= 36 and loss.total == 6 + loss.lost and loss.estimated


def test_a_pointer_counts_as_the_file_that_it_stands_for(tmp_path):
    size = write_demos(tmp_path / "a", 2)
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize {5 * size}\n"
    (tmp_path / "pointer").write_text(text)
    assert lost(tmp_path, "a", [unreadable("pointer")]) == Loss(10, 12, True)


def test_what_does_not_tell_its_size_counts_as_the_mean(tmp_path):
    write_demos(tmp_path / "a", 2)
    (tmp_path / "page").write_text("<html>size 900</html>")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("page", "empty", "pipe", "gone"):
        assert lost(tmp_path, "a", [unreadable(name)]) == Loss(2, 4, True)


def test_a_broken_link_may_stand_for_many_episodes_and_a_pipe_for_none(tmp_path):
    write_demos(tmp_path / "a", 2)
    ignored = Skipped("other", "link", "", expected=True)
    assert lost(tmp_path, "a", unknown([Skipped("l", "broken link", ""), ignored])).lost == 2
    assert lost(tmp_path, "a", unknown([Skipped("pipe", "not a file", ""), ignored])).lost == 1


def test_what_is_known_is_not_estimated(tmp_path):
    write_demos(tmp_path / "a", 2)
    entries = [Skipped("b", "wrong shape", "", episodes=3)]
    assert estimated(tmp_path, [Item("a:0", {"file": "a"})], entries) == entries
    assert estimated(tmp_path, [], entries) == entries
