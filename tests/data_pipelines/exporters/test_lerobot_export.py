"""LeRobot sets with latent columns, read back by the reader of this package."""

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.exporters.lerobot import writing
from data_pipelines.exporters.lerobot.beside import write_lerobot_beside
from data_pipelines.exporters.lerobot.statistics import Total, picture_statistics, row_statistics
from data_pipelines.exporters.lerobot.writing import write_lerobot
from data_pipelines.readers import lerobot
from tests.data_pipelines.exporters.exported import (
    NULL,
    SLOTS,
    WIDTH,
    check_latents,
    hashes,
    latent_set,
)
from tests.data_pipelines.readers import lerobot_checks as lc

LATENT = "latent_action."
CAMERA = "observation.images.camera"


@pytest.fixture(scope="module")
def source(square, tmp_path_factory):
    return latent_set(square, tmp_path_factory.mktemp("latents"), ("train", "validation", "test"))


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("sets") / "square"
    write_lerobot(place, source, texts={"data_card.md": "about"})
    return place


def latent_rows(data, episode):
    names = [name for name in data.features if name.startswith(LATENT)]
    columns = lerobot.read_columns(data, episode, names)
    return {name.removeprefix(LATENT): rows for name, rows in columns.items()}


def test_what_was_written_is_read_back(source, exported):
    data = lerobot.open_lerobot(exported)
    episodes = lerobot.list_episodes(data, [CAMERA])
    assert len(episodes) == len(source.entries) == data.total_episodes
    for episode, entry in zip(episodes, source.entries, strict=True):
        truth = source.read(entry)
        length = entry.length
        check_latents(latent_rows(data, episode), entry.number, length)
        frames = list(lerobot.iter_frames(data, episode, CAMERA))
        np.testing.assert_array_equal(frames, [source.picture(x) for x in truth.pictures])
        plain = lerobot.read_columns(data, episode, ["action", "observation.state", "next.reward"])
        np.testing.assert_array_equal(plain["action"], [*truth.action, truth.action[-1]])
        np.testing.assert_array_equal(plain["observation.state"], truth.state)
        np.testing.assert_array_equal(plain["next.reward"], [*truth.reward, 0])
        done = lerobot.read_columns(data, episode, ["next.done", "timestamp"])
        np.testing.assert_array_equal(done["next.done"], [0] * (length - 1) + [1])
        np.testing.assert_allclose(done["timestamp"], np.arange(length) / 10, rtol=1e-6)


def test_frames_are_those_of_the_folder(source, square):
    """Against the loader, not against the code that the export shares."""
    from data_pipelines.loading.loader import ordered_batches

    fields = ("action", "state", "reward")
    batch = next(ordered_batches(square, split="test", batch_size=26, fields=fields))
    entry = source.of_split("test")[0]
    assert batch["episode"].tolist() == [entry.number] * 26
    episode = source.read(entry)
    pictures = np.stack([source.picture(data) for data in episode.pictures])
    np.testing.assert_array_equal(pictures[:-1], batch["frames"][:, 0])
    np.testing.assert_array_equal(pictures[1:], batch["frames"][:, 1])
    np.testing.assert_array_equal(episode.action, batch["action"][:, 0])
    np.testing.assert_array_equal(episode.reward, batch["reward"][:, 0])
    np.testing.assert_array_equal(episode.state[:-1], batch["state"][:, 0])


def test_metadata(source, exported):
    info = json.loads((exported / "meta/info.json").read_text())
    ends = np.cumsum([0, *(len(source.of_split(split)) for split in source.splits)])
    ranges = zip(source.splits, ends[:-1], ends[1:], strict=True)
    assert info["splits"] == {split: f"{first}:{end}" for split, first, end in ranges}
    assert info["total_frames"] == source.frames and info["fps"] == 10
    codes = info["features"][f"{LATENT}codes"]
    assert codes["shape"] == [SLOTS, WIDTH] and codes["info"]["null"] == list(NULL)
    stats = json.loads((exported / "meta/stats.json").read_text())
    every = np.concatenate(
        [source.latents(entry)["codes"][: entry.length - 1] for entry in source.entries]
    )
    found = stats[f"{LATENT}codes"]
    assert found["count"] == [source.transitions]  # rows without a transition do not count
    np.testing.assert_allclose(found["mean"], every.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(found["std"], every.std(0, dtype=np.float64), rtol=1e-6)
    rows = pq.read_table(exported / writing.EPISODES_PATH).to_pylist()
    assert [row["source/episode"] for row in rows] == [entry.number for entry in source.entries]
    group = pq.ParquetFile(exported / "data/chunk-000/file-000.parquet").metadata
    assert group.num_row_groups == len(rows)  # one episode is read without the others


def test_a_killed_export_goes_on(source, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_FILE_BYTES", 3 * 27 * 1200)  # three episodes of a file
    filled = []
    fill = writing._Rows.fill

    def counted(self, path, first, entries):
        filled.append(first)
        if len(filled) == 3:
            raise KeyboardInterrupt
        return fill(self, path, first, entries)

    monkeypatch.setattr(writing._Rows, "fill", counted)
    with pytest.raises(KeyboardInterrupt):
        write_lerobot(tmp_path / "set", source)
    assert not (tmp_path / "set/meta/info.json").exists()
    write_lerobot(tmp_path / "set", source)
    assert filled == [0, 3, 6, 6, 9]
    assert not (tmp_path / "set/.parts").exists()
    one, other = (lerobot.open_lerobot(place) for place in (tmp_path / "set", exported))
    for a, b in zip(lerobot.list_episodes(one, []), lerobot.list_episodes(other, []), strict=True):
        assert a["length"] == b["length"] and a["first_row"] == b["first_row"]
    told = [json.loads((x.root / "meta/stats.json").read_text()) for x in (one, other)]
    assert told[0] == told[1]
    (tmp_path / "set/data/chunk-000/file-001.parquet").write_bytes(b"damaged")
    write_lerobot(tmp_path / "set", source)
    check_latents(latent_rows(one, lerobot.list_episodes(one, [])[4]), source.entries[4].number, 27)


def test_long_episodes_are_cut_into_row_groups(source, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(
        writing, "_GROUP_BYTES", 5 * len(source.read(source.entries[0]).pictures[0])
    )
    write_lerobot(tmp_path / "set", source)
    one, other = (
        pq.ParquetFile(place / "data/chunk-000/file-000.parquet")
        for place in (tmp_path / "set", exported)
    )
    assert one.num_row_groups > 4 * other.num_row_groups
    assert one.read().equals(other.read())


def test_longer_gaps_and_continuous_codes(square, tmp_path):
    source = latent_set(square, tmp_path / "latents", ("test",), gap=3, discrete=False, keep=None)
    write_lerobot(tmp_path / "set", source)
    data = lerobot.open_lerobot(tmp_path / "set")
    assert f"{LATENT}ids" not in data.features
    (episode, *_) = lerobot.list_episodes(data, [])
    given = {"gap": 3, "keep": SLOTS, "discrete": False}
    check_latents(latent_rows(data, episode), source.entries[0].number, 27, **given)


@pytest.mark.parametrize("video", [False, True])
def test_beside_the_original(tmp_path, video):
    root = lc.write(tmp_path, (lc.TOP,), video=video)
    assert prepare("lerobot", tmp_path / "data", lc.options(root, "--leaks=report", "--name=arm"))
    before = hashes(root)
    source = latent_set(tmp_path / "data", tmp_path / "latents", ("train",))
    write_lerobot_beside(tmp_path / "out", source, root)
    assert hashes(root) == before
    assert (tmp_path / "out/videos").is_symlink() == video
    original, data = lerobot.open_lerobot(root), lerobot.open_lerobot(tmp_path / "out")
    assert original.features.items() <= data.features.items()
    own = pq.read_table(lc.row_table(root))
    new = pq.read_table(lc.row_table(tmp_path / "out"))
    assert new.select(own.column_names).equals(own)
    numbers = {entry.source: entry for entry in source.entries}
    assert 0 < len(numbers) < len(lc.LENGTHS)  # the others are of splits that were left out
    for episode in lerobot.list_episodes(data, [lc.TOP]):
        assert len(list(lerobot.iter_frames(data, episode, lc.TOP))) == episode["length"]
        entry = numbers.get(f"episode_{episode['index']:06d}")
        rows = latent_rows(data, episode)
        if entry is None:
            assert rows["is_pad"].all() and not rows["keep"].any()
        else:
            check_latents(rows, entry.number, entry.length)


def test_another_original_is_refused(square, tmp_path, source):
    root = lc.write(tmp_path, (lc.TOP,), video=False)
    with pytest.raises(DataError, match="was made from 'seed 0/.*has no such episode"):
        write_lerobot_beside(tmp_path / "out", source, root)
    lc.change_info(root, lambda info: info.update(codebase_version="v2.1"))
    with pytest.raises(DataError, match="of version v2.1; latent columns are written beside v3.0"):
        write_lerobot_beside(tmp_path / "out", source, root)
    assert not (tmp_path / "out").exists()


def test_other_folders_are_refused(source, exported, square, tmp_path):
    other = latent_set(square, tmp_path / "other", source.splits, model="another")
    with pytest.raises(DataError, match=r"another model.*latents.model m instead of another"):
        write_lerobot(exported, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(DataError, match="files that are no export of this package"):
        write_lerobot(tmp_path / "full", source)
    assert [path.name for path in pathlib.Path(tmp_path / "full").iterdir()] == ["notes.txt"]
    with pytest.raises(DataError, match="has 10 frames per second, not 30"):
        write_lerobot(tmp_path / "new", source, fps=30)


def test_statistics_of_pictures(source):
    pictures = source.read(source.entries[0]).pictures[:20]
    found = picture_statistics(pictures, source.picture)
    pixels = np.stack([source.picture(data) for data in pictures]) / 255
    assert found["count"] == [20]
    for key in ("min", "max", "mean", "std"):
        expected = getattr(np, key)(pixels, (0, 1, 2))[:, None, None]
        np.testing.assert_allclose(found[key], expected, rtol=1e-9)


def test_totals_of_parts_are_those_of_the_whole():
    rows = np.random.default_rng(0).normal(3, 2, (50, 2))
    total = Total()
    for part in (rows[:7], rows[7:8], rows[8:]):
        total.add(row_statistics(part))
    whole = row_statistics(rows)
    for key, value in total.told().items():
        np.testing.assert_allclose(value, whole[key], rtol=1e-12)
