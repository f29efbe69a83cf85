"""A camera that an episode lacks (black padding) is left out alone; the others are kept."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset, read_manifest
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.tools.counting import episodes_text, notes
from data_pipelines.tools.validation import validate
from tests.data_pipelines.conversion.crates import LENGTH, make_options

CRATES = "tests.data_pipelines.conversion.crates"
CAMERAS = ["front", "wrist", "side"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """12 recordings; front shows all, wrist two, side none."""
    out = tmp_path_factory.mktemp("mixed") / "data"
    blank = [f"a/{i}:crate_wrist" for i in range(12) if i not in (4, 5)]
    blank += [f"a/{i}:crate_side" for i in range(12)]
    prepare(CRATES, out, make_options(crates={"a": 12}, cameras=CAMERAS, blank=blank))
    return out


def split_of(folder, name):
    info = open_dataset(folder)
    return {
        facts["source"]: split
        for split in info.shards[name]
        for facts in info.episodes(name, split)
    }


def test_blank_cameras_are_dropped_one_by_one_and_named(mixed):
    manifest = read_manifest(mixed)
    assert manifest["skipped"] == {"blank camera": 22} and "missing" not in manifest
    name, reason, detail = manifest["skipped_items"][0]
    assert (name, reason) == ("a/0:crate_wrist", "blank camera") and "all 6 frames" in detail
    front, wrist = split_of(mixed, "crate_front"), split_of(mixed, "crate_wrist")
    assert len(front) == 12 and set(wrist) == {"a/4", "a/5"}
    assert all(front[source] == split for source, split in wrist.items())
    assert list(manifest["datasets"]) == ["crate_front", "crate_wrist"]
    assert manifest["empty_datasets"] == ["crate_side"]
    assert validate(mixed)["episodes"] == 14


def test_counts_in_words_name_recordings_and_cameras(mixed, tmp_path):
    manifest = read_manifest(mixed)
    assert episodes_text(manifest) == "12 recordings in up to 2 cameras (14 episodes)"
    assert any("left out: dataset crate_side" in line for line in notes(manifest))
    prepare(CRATES, tmp_path / "two", make_options(crates={"a": 5}, cameras=["front", "wrist"]))
    assert episodes_text(read_manifest(tmp_path / "two")) == "5 recordings x 2 cameras"


def test_a_recording_that_shows_nothing_fails(tmp_path):
    blank = [f"a/3:crate_{camera}" for camera in CAMERAS]
    prepare(CRATES, tmp_path / "data", make_options(crates={"a": 9}, cameras=CAMERAS, blank=blank))
    manifest = read_manifest(tmp_path / "data")
    assert manifest["skipped"] == {"blank": 1} and manifest["missing"]["episodes"] == 1


def test_a_first_camera_that_is_blank_moves_no_episode_to_another_split(tmp_path):
    options = make_options(crates={"a": 12}, cameras=CAMERAS)
    prepare(CRATES, tmp_path / "all", options)
    prepare(CRATES, tmp_path / "some", options | {"blank": ["a/1:crate_front", "a/7:crate_front"]})
    for name in ("crate_wrist", "crate_side"):
        assert split_of(tmp_path / "some", name) == split_of(tmp_path / "all", name)


def test_reading_all_datasets_leaves_out_those_without_the_split(tmp_path):
    published = {f"a/{i}": "test" if i == 8 else "train" for i in range(12)}
    blank = [f"a/{i}:crate_wrist" for i in range(12) if i != 8]  # wrist has the test split alone
    options = make_options(
        crates={"a": 12}, cameras=["front", "wrist"], blank=blank, published=published
    )
    prepare(CRATES, tmp_path / "data", options)
    (batch,) = ordered_batches(tmp_path / "data", split="test", batch_size=100)
    assert len(batch["t"]) == 2 * (LENGTH - 1)
    batches = training_batches({"path": str(tmp_path / "data")}, seed=0, batch_size=4)
    assert batches.datasets == ("crate_front",)
    with pytest.raises(DataError, match="crate_wrist has no split 'train'"):
        ordered_batches(tmp_path / "data", datasets=("crate_wrist",), split="train")


def test_cameras_that_lack_episodes_are_not_paired_in_silence(tmp_path):
    options = make_options(crates={"a": 12}, cameras=["front", "wrist"])
    prepare(CRATES, tmp_path / "whole", options)
    config = {"pair_with": "camera", "split": "train"}
    whole = training_batches({"path": str(tmp_path / "whole"), **config}, seed=0, batch_size=4)
    assert np.asarray(next(whole)["frames_pair"]).shape[0] == 4
    whole.close()
    prepare(CRATES, tmp_path / "part", options | {"blank": ["a/2:crate_wrist", "a/3:crate_wrist"]})
    with pytest.raises(DataError, match="cannot be paired: in split 'train' one of them lacks"):
        training_batches({"path": str(tmp_path / "part"), **config}, seed=0, batch_size=4)
