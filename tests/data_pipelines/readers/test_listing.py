"""The one lister: what it finds, what it passes over, and that it says so."""

import os

import pytest

from data_pipelines.readers.files.listing import is_junk, list_files


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(listing):
    return [str(path.relative_to(listing.root)) for path in listing.files]


def test_natural_order_in_any_case_of_the_suffix(tmp_path):
    touch(tmp_path, "b/clip10.MP4", "b/clip2.mp4", "a.Mp4", "notes.txt", "b/README")
    listing = list_files(tmp_path, (".mp4",))
    assert names(listing) == ["a.Mp4", "b/clip2.mp4", "b/clip10.MP4"]
    assert listing.passed_over() == {
        "(none)": {"files": 1, "example": "b/README"},
        ".txt": {"files": 1, "example": "notes.txt"},
    }
    assert not listing.skipped


def test_what_file_managers_leave_is_not_even_passed_over(tmp_path):
    touch(tmp_path, "a.mp4", "._a.mp4", ".DS_Store", "Thumbs.db", "desktop.ini")
    touch(tmp_path, "__MACOSX/a.mp4", ".Trash-1000/b.mp4", ".git/c.mp4", "lost+found/d.mp4")
    listing = list_files(tmp_path, (".mp4",))
    assert names(listing) == ["a.mp4"]
    assert not listing.others and not listing.skipped
    assert is_junk("._x") and not is_junk(".x.mp4") and is_junk("__MACOSX", folder=True)


def test_links_are_followed_and_every_folder_is_visited_once(tmp_path):
    source, store = tmp_path / "source", tmp_path / "store"
    touch(store, "blob", "more/clip2.mp4")
    touch(source, "real/clip1.mp4")
    (source / "clip.mp4").symlink_to(store / "blob")  # as download caches do
    (source / "part").symlink_to(store / "more")
    (source / "again").symlink_to(store / "more")
    (source / "real/loop").symlink_to(source)
    (source / "up").symlink_to(tmp_path)
    (store / "more/back").symlink_to(source)
    listing = list_files(source, (".mp4",))
    assert sorted(names(listing)) == ["again/clip2.mp4", "clip.mp4", "real/clip1.mp4"]


def test_links_that_are_not_followed_are_named_and_no_failure(tmp_path):
    touch(tmp_path, "source/a.mp4", "store/b.mp4")
    (tmp_path / "source/b.mp4").symlink_to(tmp_path / "store/b.mp4")
    (tmp_path / "source/part").symlink_to(tmp_path / "store")
    listing = list_files(tmp_path / "source", (".mp4",), follow_links=False)
    assert names(listing) == ["a.mp4"]
    assert [(entry.name, entry.reason) for entry in listing.skipped] == [
        ("b.mp4", "link"),
        ("part", "link"),
    ]
    assert all(entry.expected for entry in listing.skipped)


def test_broken_links_count_as_failures_where_they_were_asked_for(tmp_path):
    for name in ("a.mp4", "a.txt"):
        (tmp_path / name).symlink_to("gone")
    found = {entry.name: entry for entry in list_files(tmp_path, (".mp4",)).skipped}
    assert found["a.mp4"].reason == "broken link" and not found["a.mp4"].expected
    assert "git annex get" in found["a.mp4"].detail
    assert found["a.txt"].expected


def test_pipes_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    (entry,) = list_files(tmp_path, (".mp4",)).skipped
    assert entry.reason == "not a file" and "named pipe" in entry.detail


def test_names_that_are_not_utf8_are_files_as_others(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4"), "wb"):
        pass
    assert names(list_files(tmp_path, (".mp4",))) == ["caf\udce9.mp4"]


@pytest.mark.parametrize("deep", [True, False])
def test_sub_folders(tmp_path, deep):
    touch(tmp_path, "a.mp4", "sub/b.mp4")
    assert len(list_files(tmp_path, (".mp4",), deep=deep).files) == 1 + deep
