"""DMLab folders as users have them: links, what file managers leave, pointers, damage, bombs."""

import gzip
import io
import os
import zipfile

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab import recipe
from data_pipelines.readers.files import npz
from data_pipelines.readers.recordings import ItemError, Recording, Skipped
from tests.data_pipelines.readers.dmlab_files import (
    example,
    options,
    picture,
    read_all,
    rlu_episode,
    rows_of,
    write_level,
    write_rlu,
)
from tests.data_pipelines.readers.tfrecord_writer import tfrecord

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
LEVEL = "lasertag_one_opponent_large"


def write_teco(path, length=5, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    video = np.random.default_rng(seed).integers(0, 255, (length, 16, 16, 3), np.uint8)
    np.savez(path, video=video, actions=np.zeros(length, int))


def write_two(root, layout):
    """Two files of the layout; returns their paths."""
    if layout == "rlu":
        return [write_rlu(root, rlu_episode(k), shard=k) for k in (0, 1)]
    if layout == "parquet":
        write_level(root, rows_of(4, 4), edges=(4,))
        return sorted((root / LEVEL).iterdir())
    paths = [root / "train" / "0" / f"{k}.npz" for k in (0, 1)]
    for seed, path in enumerate(paths):
        write_teco(path, seed=seed)
    return paths


def outcome(chosen):
    """(recordings, reasons of what was left out)."""
    plan = recipe.plan(chosen)
    kept, reasons = [], [entry.reason for entry in plan.skipped]
    for item in plan.items:
        try:
            for result in recipe.read(item, chosen):
                if isinstance(result, Skipped):
                    reasons.append(result.reason)
                else:
                    kept.append(result)
        except ItemError as error:  # the conversion lists it under the item's name
            reasons.append(error.reason)
    return kept, reasons


LAYOUTS = pytest.mark.parametrize("layout", ["rlu", "parquet", "teco"])


@LAYOUTS
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (POINTER, "git-lfs pointer"),
        (b"", "empty file"),
        (b"<html>404 not found, try again later</html>", "other format"),
        ("pipe", "not a file"),
        ("broken", "broken link"),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path, layout, content, reason):
    _, path = write_two(tmp_path, layout)
    path.unlink()
    if content == "pipe":
        os.mkfifo(path)
    elif content == "broken":
        path.symlink_to("gone")
    else:
        path.write_bytes(content)
    kept, reasons = outcome(options(tmp_path))
    assert len(kept) == 1
    # A file that is not listed breaks the numbering of parquet files, too.
    assert reason in reasons and set(reasons) <= {reason, "missing shard"}


@LAYOUTS
def test_links_are_followed_unless_told_otherwise(tmp_path, layout):
    _, path = write_two(tmp_path / "source", layout)
    path.rename(tmp_path / "blob")
    path.symlink_to(tmp_path / "blob")
    assert len(outcome(options(tmp_path / "source"))[0]) == 2
    kept, reasons = outcome(options(tmp_path / "source", "--no-follow-links"))
    assert len(kept) == 1 and "link" in reasons


@LAYOUTS
def test_what_file_managers_leave_is_ignored_and_the_rest_named(tmp_path, layout):
    for path in write_two(tmp_path, layout):
        (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07" + bytes(50))
        (path.parent / "notes.txt").write_text("about")
    assert outcome(options(tmp_path))[1] == []
    assert recipe.plan(options(tmp_path)).passed_over[".txt"]["files"] >= 1


def test_suffixes_in_upper_case(tmp_path):
    for layout in ("parquet", "teco"):
        for path in write_two(tmp_path / layout, layout):
            path.rename(path.with_suffix(path.suffix.upper()))
        assert len(outcome(options(tmp_path / layout))[0]) == 2


def test_a_level_in_two_folders_is_refused(tmp_path):
    for snapshot in ("a", "b"):
        write_level(tmp_path / snapshot, rows_of(4), edges=())
    with pytest.raises(DataError, match=f"{LEVEL} is in a/{LEVEL} and in b/{LEVEL}"):
        recipe.plan(options(tmp_path))
    write_rlu(tmp_path / "rlu", rlu_episode(0), level="Rooms-1")
    write_rlu(tmp_path / "rlu", rlu_episode(1), level="rooms_1")
    with pytest.raises(DataError, match="would all be dmlab_rooms_1"):
        recipe.plan(options(tmp_path / "rlu"))


def test_rlu_counts_what_damage_costs(tmp_path):
    path = write_rlu(tmp_path, rlu_episode(0), rlu_episode(1))
    records = [example(rlu_episode(k)) for k in range(3)]
    data = bytearray(tfrecord(*records))
    data[30] ^= 255
    path.write_bytes(gzip.compress(bytes(data[:-9])))
    plan, results = read_all(options(tmp_path))
    assert [item.episodes for item in plan.items] == [None]
    assert [getattr(result, "episodes", "kept") for result in results] == [1, "kept", None]


@pytest.mark.parametrize(
    "change",
    [
        {"actions": [1 << 40] * 8},
        {"actions": [0.5] * 8},
        {"rewards": [b"1"] * 8},
        {"observations_action": [b"x"] * 120},
        {"episode_return": [float("nan")]},
        {"episode_id": [b"seven"]},
    ],
)
def test_rlu_labels_that_are_none(tmp_path, change):
    """Numbers that int32 cannot hold would come out as others."""
    write_rlu(tmp_path, rlu_episode(0, **change), rlu_episode(1))
    _, (bad, good) = read_all(options(tmp_path))
    assert bad.reason == "bad labels" and isinstance(good, Recording)


def test_rlu_pictures_that_would_start_a_program(tmp_path):
    pictures = [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"] * 8
    write_rlu(tmp_path, rlu_episode(0, observations_pixels=pictures))
    _, (found,) = read_all(options(tmp_path))
    with pytest.raises(ItemError, match="frame 0") as caught:
        list(found.frames["dmlab_rooms_watermaze"])
    assert caught.value.reason == "unreadable picture"
    write_rlu(tmp_path, rlu_episode(0, observations_pixels=[1] * 8))
    _, (found,) = read_all(options(tmp_path))
    assert found.reason == "not RL Unplugged"


def test_parquet_columns_of_other_types(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_level(tmp_path, rows_of(4), edges=())
    (path,) = (tmp_path / LEVEL).iterdir()
    table = pq.read_table(path)
    at = table.column_names.index("action")
    wide = table.set_column(at, "action", pa.array([1 << 40] * 4, pa.int64()))
    pq.write_table(wide, path)
    assert outcome(options(tmp_path, "--actions=dreamerv3")) == ([], ["bad labels"])
    pq.write_table(table.set_column(at, "action", pa.array(["a"] * 4)), path)
    with pytest.raises(DataError, match="column action is string"):
        recipe.plan(options(tmp_path))


def header(shape, descr="|u1"):
    file = io.BytesIO()
    form = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (header((1 << 40,)), "too large"),
        (header((1 << 40, 1 << 40)), "too large"),
        (header((2, 2), "|O") + bytes(9), "pickled"),
        (header((9,))[:-40], "unreadable"),
        (b"no array", "unreadable"),
        (b"", "unreadable"),
    ],
)
def test_npz_headers_are_judged_before_memory_is_asked_for(tmp_path, member, reason):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.npy", member)
    with pytest.raises(ItemError) as caught:
        npz.read_npz(tmp_path / "a.npz")
    assert caught.value.reason == reason


def test_npz_that_unpacks_to_more_than_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", video=np.zeros(1 << 21, np.uint8), small=np.zeros(3))
    with pytest.raises(ItemError, match="bytes unpacked") as caught:
        npz.read_npz(tmp_path / "a.npz")
    assert caught.value.reason == "too large"
    assert list(npz.read_npz(tmp_path / "a.npz", "small".__eq__)) == ["small"]


def test_npz_arrays_come_as_numpy_reads_them(tmp_path):
    arrays = {
        "video": np.stack([picture(t) for t in range(3)]),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array("größe"),
        "none": np.empty((0, 4), np.int16),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = npz.read_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected)
