"""RLDS sets with latent columns, read back by TFDS (without TensorFlow) and by our own reader."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.exporters.rlds import writing
from data_pipelines.exporters.rlds.beside import write_rlds_beside
from data_pipelines.exporters.rlds.writing import write_rlds
from data_pipelines.readers.tfds.episodes import shard_episodes
from data_pipelines.readers.tfds.folder import open_folder
from data_pipelines.readers.tfds.tfrecord import parse_example, records
from tests.data_pipelines.exporters.exported import SLOTS, WIDTH, check_latents, hashes, latent_set
from tests.data_pipelines.readers import rlds_files as rl

LATENT = "latent_action/"


@pytest.fixture(scope="module")
def source(square, tmp_path_factory):
    return latent_set(square, tmp_path_factory.mktemp("latents"))


def episodes_of(folder, split="train"):
    opened = open_folder(folder)
    return [episode for shard in opened.shards[split] for episode in shard_episodes(opened, shard)]


def latent_rows(episode):
    names = [name for name in episode.steps if name.startswith(LATENT)]
    return {name.removeprefix(LATENT): episode.steps[name] for name in names}


def test_what_was_written_is_read_back(source, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_SHARD_BYTES", 4 * 27 * 1024)  # four episodes of a shard
    write_rlds(tmp_path / "1.0.0", source, texts={"data_card.md": "about"})
    assert len(open_folder(tmp_path / "1.0.0").shards["train"]) == 3
    for split in source.splits:
        found = episodes_of(tmp_path / "1.0.0", split)
        assert len(found) == len(source.of_split(split))
        for episode, entry in zip(found, source.of_split(split), strict=True):
            truth = source.read(entry)
            steps = episode.steps
            check_latents(latent_rows(episode), entry.number, entry.length)
            pictures = [source.picture(data) for data in truth.pictures]
            np.testing.assert_array_equal(list(steps["observation/image"]), pictures)
            np.testing.assert_array_equal(steps["observation/state"], truth.state)
            np.testing.assert_array_equal(steps["action"], [*truth.action, truth.action[-1]])
            np.testing.assert_array_equal(steps["reward"], [*truth.reward, 0])
            assert steps["is_first"].tolist() == [True] + [False] * (entry.length - 1)
            assert steps["is_last"].tolist() == [False] * (entry.length - 1) + [True]
            assert episode.metadata["episode_metadata/episode"] == entry.number
            assert episode.metadata["episode_metadata/source"] == entry.source


def test_tfds_reads_it(source, tmp_path):
    write_rlds(tmp_path / "1.0.0", source)
    features = tfds.builder_from_directory(tmp_path / "1.0.0").info.features
    (shard,) = open_folder(tmp_path / "1.0.0").shards["test"]
    entry = source.of_split("test")[0]
    steps = list(features.deserialize_example_np(next(records(shard)))["steps"])
    rows = {
        name: np.stack([s["latent_action"][name] for s in steps]) for name in source.latents(entry)
    }
    check_latents(rows, entry.number, entry.length)
    truth = source.read(entry)
    np.testing.assert_array_equal(
        steps[5]["observation"]["image"], source.picture(truth.pictures[5])
    )
    assert steps[5]["action"] == truth.action[5] and steps[-1]["is_last"]


def test_a_killed_export_goes_on(source, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_SHARD_BYTES", 4 * 27 * 1024)
    read, kept = type(source).read, []

    def killed(self, entry, **given):
        kept.append(entry.number)
        if len(kept) == 6:
            raise KeyboardInterrupt
        return read(self, entry, **given)

    monkeypatch.setattr(type(source), "read", killed)
    with pytest.raises(KeyboardInterrupt):
        write_rlds(tmp_path / "1.0.0", source)
    assert not (tmp_path / "1.0.0/dataset_info.json").exists()
    write_rlds(tmp_path / "1.0.0", source)
    assert len(kept) == len(source.entries) + 2  # of the shard that was not finished
    assert [e.metadata["episode_metadata/episode"] for e in episodes_of(tmp_path / "1.0.0")] == [
        entry.number for entry in source.of_split("train")
    ]


@pytest.fixture
def original(tmp_path):
    """raw/toy/1.0.0, three episodes in two shards; data/, made from it."""
    schema, made = rl.one_camera(count=3)
    folder = rl.write_set(tmp_path / "raw/toy/1.0.0", schema, made[:2], made[2:])
    assert prepare("rlds", tmp_path / "data", rl.options(tmp_path / "raw", "--leaks=report"))
    return folder


def test_beside_the_original(original, tmp_path):
    before = hashes(original)
    source = latent_set(tmp_path / "data", tmp_path / "latents", ("train",))
    write_rlds_beside(tmp_path / "out", source, tmp_path / "raw")
    assert hashes(original) == before
    numbers = {entry.source.rsplit("/", 1)[-1]: entry for entry in source.entries}
    assert 0 < len(numbers) < 3  # the others are of splits that were left out
    shards = open_folder(original).shards["train"]
    for shard in shards:
        own, new = list(records(shard)), list(records(tmp_path / "out" / shard.name))
        for a, b in zip(map(parse_example, own), map(parse_example, new), strict=True):
            assert {key: list(b[key]) for key in a} == {key: list(a[key]) for key in a}
    schema = json.loads((tmp_path / "out/features.json").read_text())["featuresDict"]["features"]
    node = schema["steps"]["sequence"]["feature"]["featuresDict"]["features"]["latent_action"]
    added = tfds.features.FeatureConnector.from_json(node)  # as TFDS reads features.json
    assert added["codes"].shape == (SLOTS, WIDTH) and added["is_pad"].np_dtype == np.bool_
    for episode in episodes_of(tmp_path / "out"):
        entry = numbers.get(f"{episode.shard}:{episode.number}")
        rows = latent_rows(episode)
        if entry is None:
            assert rows["is_pad"].all() and not rows["keep"].any() and len(rows["keep"]) == 4
        else:
            check_latents(rows, entry.number, entry.length)
    with pytest.raises(DataError, match="its steps have latent_action already"):
        write_rlds_beside(tmp_path / "twice", source, tmp_path / "out")


def test_damage_and_other_originals_are_refused(original, source, tmp_path):
    with pytest.raises(DataError, match="was made from 'seed 0/.*has no such record"):
        write_rlds_beside(tmp_path / "out", source, original)
    mine = latent_set(tmp_path / "data", tmp_path / "latents", ("train",))
    shard = open_folder(original).shards["train"][0]
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="checksum of its .* copy the original set again"):
        write_rlds_beside(tmp_path / "out", mine, original)
    info = json.loads((original / "dataset_info.json").read_text())
    (original / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "array_record"}))
    with pytest.raises(DataError, match="latent columns are written beside tfrecord"):
        write_rlds_beside(tmp_path / "out", mine, original)
