"""Sidecars: rows are found again, damage and strangers are refused, a kill costs one block."""

import json
import pickle

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format import npy, sidecar_writing, sidecars
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_manifest import content_hash
from data_pipelines.format.sidecar_writing import SidecarWriter, write_sidecar
from data_pipelines.format.sidecars import Episodes, open_sidecar, split_episodes
from data_pipelines.registry import recipe_options

SQUARE = ("square", "train")


@pytest.fixture(scope="module")
def info(square):
    return open_dataset(square)


def stamps(info, alignment, gap=None):
    """int32 (N, 2): episode and t of every row."""
    episodes = split_episodes(info, *SQUARE)
    counts = np.diff(episodes.offsets(alignment, gap))
    numbers = np.repeat(episodes.numbers, counts)
    times = np.concatenate([np.arange(count) for count in counts])
    return np.stack([numbers, times], 1).astype(np.int32)


def transitions(folder, info, gap=2, **made_by):
    values = stamps(info, "transition", gap)
    return write_sidecar(
        folder,
        info,
        *SQUARE,
        values,
        kind="stamps",
        alignment="transition",
        gap=gap,
        made_by=made_by,
    )


@pytest.mark.parametrize("alignment, gap", [("frame", None), ("transition", 3), ("episode", None)])
@pytest.mark.parametrize("small", [0, npy.SMALL])
def test_every_row_is_found_by_episode_and_time(info, tmp_path, monkeypatch, alignment, gap, small):
    monkeypatch.setattr(npy, "SMALL", small)  # mapped, or read as a whole
    values = stamps(info, alignment, gap)
    write_sidecar(tmp_path, info, *SQUARE, values, kind="stamps", alignment=alignment, gap=gap)
    sidecar = pickle.loads(pickle.dumps(open_sidecar(tmp_path, info, *SQUARE, verify=True)))
    np.testing.assert_array_equal(sidecar.array("stamps"), values)
    order = np.random.default_rng(0).permutation(len(values))
    found = sidecar.values("stamps", values[order, 0], values[order, 1])
    np.testing.assert_array_equal(found, values[order])
    saved = np.load(sidecar.place / "stamps.npy", allow_pickle=False)
    np.testing.assert_array_equal(saved, values)
    assert sorted(file.name for file in sidecar.place.iterdir()) == [
        "episodes.npy",
        "offsets.npy",
        "sidecar.json",
        "stamps.npy",
    ]


def test_episodes_need_not_ascend_nor_be_alike(info, tmp_path, monkeypatch):
    numbers = split_episodes(info, *SQUARE).numbers[::-1].copy()
    episodes = Episodes(numbers, np.arange(3, 3 + len(numbers)))
    for module in (sidecars, sidecar_writing):
        monkeypatch.setattr(module, "split_episodes", lambda *_: episodes)
    counts = episodes.lengths - 2
    times = np.concatenate([np.arange(count) for count in counts])
    values = np.stack([np.repeat(numbers, counts), times], 1)
    given = dict(kind="stamps", alignment="transition", gap=2)
    sidecar = write_sidecar(tmp_path, info, *SQUARE, values, **given)
    found = sidecar.values("stamps", values[::3, 0], values[::3, 1])
    np.testing.assert_array_equal(found, values[::3])


def test_pickles_hold_no_arrays(info, tmp_path):
    wide = np.zeros((len(stamps(info, "frame")), 4096), np.float32)
    sidecar = write_sidecar(tmp_path, info, *SQUARE, wide, kind="wide", alignment="frame")
    assert len(pickle.dumps(sidecar)) < 10_000


def test_rows_that_are_not_there_are_refused(info, tmp_path):
    sidecar = transitions(tmp_path, info)
    episode = int(split_episodes(info, *SQUARE).numbers[0])
    sidecar.rows(episode, 24)  # 27 frames, 25 transitions of gap 2
    for wrong in ((episode, 25), (episode, -1), (999, 0)):
        with pytest.raises(DataError, match=f"no row for t = {wrong[1]} of episode {wrong[0]}"):
            sidecar.rows(*wrong)


def blocks_of(folder, info, **changed):
    given = dict(kind="stamps", alignment="transition", gap=2, made_by={"model": "m"})
    given |= {"arrays": {"stamps": (np.int32, (2,))}, "block_rows": 40} | changed
    return SidecarWriter(folder, info, *SQUARE, **given)


def test_a_killed_write_goes_on_with_what_is_missing(info, tmp_path):
    values = stamps(info, "transition", 2)
    writer = blocks_of(tmp_path, info)
    missing = writer.missing()
    for block in (next(missing), next(missing)):
        writer.write(block, {"stamps": values[block]})
    assert writer.finish() is None  # Two blocks are no sidecar.
    with pytest.raises(DataError, match="no finished sidecar"):
        open_sidecar(tmp_path, info, *SQUARE)
    damaged = writer.place / ".parts" / "00000001.npz"
    damaged.write_bytes(damaged.read_bytes()[:-70])
    again = blocks_of(tmp_path, info)
    rest = list(again.missing())
    assert rest == again.blocks[1:] and len(rest) > 2
    for block in rest:
        again.write(block, {"stamps": values[block]})
    np.testing.assert_array_equal(again.finish().array("stamps"), values)
    assert list(blocks_of(tmp_path, info).missing()) == []


def test_processes_share_the_blocks_of_one_folder(info, tmp_path):
    values = stamps(info, "transition", 2)
    writers = [blocks_of(tmp_path, info) for _ in range(3)]
    assert blocks_of(tmp_path, info).finish() is None  # One who has no block, first of all.
    finished = []
    for shard, writer in enumerate(writers):
        for block in writer.missing(shard, 3):
            writer.write(block, {"stamps": values[block]})
        finished.append(writer.finish())
    assert finished[:2] == [None, None]
    np.testing.assert_array_equal(finished[2].array("stamps"), values)
    np.testing.assert_array_equal(writers[0].finish().array("stamps"), values)


def test_a_block_damaged_before_the_end_is_told_and_written_anew(info, tmp_path):
    values = stamps(info, "transition", 2)
    writer = blocks_of(tmp_path, info)
    for block in writer.missing():
        writer.write(block, {"stamps": values[block]})
    part = writer.place / ".parts" / "00000002.npz"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(DataError, match="00000002.npz: this part of a sidecar was damaged"):
        writer.finish()
    assert list(writer.missing()) == writer.blocks[2:3]


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"made_by": {"model": "n"}}, "model m instead of n"),
        ({"gap": 1}, "gap 2 instead of 1"),
        ({"kind": "other"}, "kind stamps instead of other"),
        ({"arrays": {"stamps": (np.int64, (2,))}}, "arrays"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_of_something_else_is_refused(info, tmp_path, changed, told, finished):
    values = stamps(info, "transition", 2)
    writer = blocks_of(tmp_path, info)
    blocks = list(writer.missing())
    for block in blocks if finished else blocks[:1]:
        writer.write(block, {"stamps": values[block]})
    writer.finish()
    with pytest.raises(DataError, match=f"another model, dataset or kind.*{told}"):
        blocks_of(tmp_path, info, **changed)


def flip(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)


def edit(place, **fields):
    """A manifest that says something else, and whose own hash is right."""
    file = place / "sidecar.json"
    values = json.loads(file.read_text()) | fields
    file.write_text(json.dumps(values | {"sha256": content_hash(values)}))


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda place: (place / "stamps.npy").unlink(), "stamps.npy: .* is missing"),
        (lambda place: (place / "stamps.npy").write_bytes(b"\x93NUMPY"), "is damaged"),
        (
            lambda place: (place / "stamps.npy").write_bytes(
                (place / "stamps.npy").read_bytes()[:-1]
            ),
            "cut off",
        ),
        (
            lambda place: np.save(place / "stamps.npy", np.array([{}], object)),
            "an array of object",
        ),
        (lambda place: flip(place / "offsets.npy"), "offsets.npy: is damaged"),
        (lambda place: flip(place / "episodes.npy"), "episodes.npy: is damaged"),
        (lambda place: (place / "sidecar.json").unlink(), "no finished sidecar"),
        (lambda place: (place / "sidecar.json").write_text("{"), "is not JSON"),
        (
            lambda place: (place / "sidecar.json").write_text(
                (place / "sidecar.json").read_text().replace('"gap": 2', '"gap": 1')
            ),
            "its fields are not those that were written",
        ),
        (lambda place: edit(place, alignment="frame", gap=None), "rows, the episodes have"),
        (lambda place: edit(place, alignment="second"), "alignment 'second' is not one of"),
        (lambda place: edit(place, rows="many"), "field `rows`: expected `int`"),
        (lambda place: edit(place, arrays={"x": {"dtype": "|O", "shape": []}}), "no type of numb"),
        (lambda place: edit(place, arrays={"../x": {"dtype": "<f4", "shape": []}}), "is no name"),
        (lambda place: edit(place, files={}), "lists the files"),
        (lambda place: edit(place, format=2), "format 2, this code reads 1"),
    ],
)
def test_damage_is_one_message(info, tmp_path, damage, told):
    place = transitions(tmp_path, info).place
    damage(place)
    with pytest.raises(DataError, match=told):
        open_sidecar(tmp_path, info, *SQUARE)


def test_a_changed_byte_is_told_when_all_is_read(info, tmp_path):
    place = transitions(tmp_path, info).place
    flip(place / "stamps.npy")
    sidecar = open_sidecar(tmp_path, info, *SQUARE)  # Cheap: reads no rows.
    with pytest.raises(DataError, match="stamps.npy: content differs from its sha256"):
        sidecar.verify()


def test_another_dataset_gap_or_model_is_refused(info, tmp_path):
    transitions(tmp_path / "side", info, model="a" * 64)
    open_sidecar(tmp_path / "side", info, *SQUARE, gap=2, model="a" * 64)
    with pytest.raises(DataError, match="transitions 2 frames apart, not 1"):
        open_sidecar(tmp_path / "side", info, *SQUARE, gap=1)
    with pytest.raises(DataError, match="made by model aaaaaaaaaaaa, not by bbbbbbbbbbbb"):
        open_sidecar(tmp_path / "side", info, *SQUARE, model="b" * 64)
    sizes = ("--episodes=12", "--length=27", "--size=16", "--clip-stride=8", "--max-span=4")
    prepare("synthetic", tmp_path / "other", recipe_options("synthetic", *sizes, "--seed=1"))
    with pytest.raises(DataError, match="belongs to other records"):
        open_sidecar(tmp_path / "side", open_dataset(tmp_path / "other"), *SQUARE)
    with pytest.raises(DataError, match="no split 'exam'"):
        open_sidecar(tmp_path / "side", info, "square", "exam")


@pytest.mark.parametrize(
    "values, alignment, gap, told",
    [
        (np.zeros((3, 2)), "frame", None, r"one row for each"),
        (np.zeros(()), "frame", None, r"one row for each"),
        (np.array(["a"]), "episode", None, "no type of numbers"),
        (np.zeros(3), "transition", None, "have a gap of at least 1"),
        (np.zeros(3), "frame", 1, "nothing else has one"),
        (np.zeros(3), "second", None, "alignment 'second' is not one of"),
        ({"offsets": np.zeros(3)}, "frame", None, "cannot be called 'offsets'"),
        ({}, "frame", None, "no arrays"),
        (np.zeros(0), "transition", 99, "holds no transition 99 frames apart"),
    ],
)
def test_what_cannot_be_a_sidecar_is_refused_before_it_is_written(
    info, tmp_path, values, alignment, gap, told
):
    with pytest.raises(DataError, match=told):
        write_sidecar(tmp_path, info, *SQUARE, values, kind="x", alignment=alignment, gap=gap)
    assert not list(tmp_path.iterdir())
