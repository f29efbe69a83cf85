"""Recorded episodes: their actions or slots as sequences, and where their phases begin."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from experiments.skill_study.recorded import recorded
from tests.experiments.skill_study import phased

RECIPE = "tests.experiments.skill_study.phased"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "noise"
    assert prepare(RECIPE, out, {"phases": 1, "cameras": 1})
    return out


def episodes_of(info, split):
    return [episode["episode"] for episode in info.episodes("noise", split)]


def test_actions_and_phases(data):
    splits, info = recorded(str(data)), open_dataset(data)
    assert {split: len(one.valid) for split, one in splits.items()} == {
        "train": 4,
        "validation": 1,
        "test": 1,
    }
    for split, one in splits.items():
        assert one.valid.shape[1] == max(phased.LENGTHS) - 1
        for row, episode in enumerate(episodes_of(info, split)):
            expected = phased.actions(episode)
            assert one.valid[row].sum() == len(expected)
            np.testing.assert_array_equal(one.latents[row, : len(expected)], expected)
            fine, coarse = (np.flatnonzero(level[row]).tolist() for level in one.levels)
            assert (fine, coarse) == ([0, 2, 5], [0, 5])


def test_latents_of_a_gap_have_fewer_steps(data, tmp_path):
    info = open_dataset(data)
    for split in ("train", "validation", "test"):
        lengths = [phased.LENGTHS[episode] - 3 for episode in episodes_of(info, split)]
        slots = np.concatenate(
            [np.full((n, 2, 3), n) + np.arange(n)[:, None, None] for n in lengths]
        ).astype(np.float32)
        arrays = {"slots": slots}
        write_sidecar(
            tmp_path, info, "noise", split, arrays, kind="latents", alignment="transition", gap=3
        )
    for split, one in recorded(str(data), str(tmp_path)).items():
        for row, episode in enumerate(episodes_of(info, split)):
            n = phased.LENGTHS[episode] - 3
            assert one.valid[row].sum() == n and one.latents.shape[2] == 6
            np.testing.assert_array_equal(one.latents[row, :n, 0], n + np.arange(n))


def test_of_two_cameras_actions_are_read_once_and_latents_where_they_are(tmp_path):
    data, latents = tmp_path / "data", tmp_path / "latents"
    assert prepare(RECIPE, data, {"phases": 1, "cameras": 2})
    info = open_dataset(data)
    for split in ("train", "validation", "test"):
        rows = sum(phased.LENGTHS[e["episode"]] - 1 for e in info.episodes("noise_1", split))
        arrays = {"slots": np.full((rows, 1, 2), 7, np.float32)}
        write_sidecar(
            latents, info, "noise_1", split, arrays, kind="latents", alignment="transition", gap=1
        )
    actions, slots = recorded(str(data)), recorded(str(data), str(latents))
    for found in (actions, slots):
        assert [len(one.valid) for one in found.values()] == [4, 1, 1]
    assert (slots["test"].latents[slots["test"].valid] == 7).all()
    with pytest.raises(DataError, match="noise_0"):
        recorded(str(data), str(tmp_path / "nothing"))


def test_episodes_without_phases(tmp_path):
    assert prepare(RECIPE, tmp_path / "data", {"phases": 0, "cameras": 1})
    with pytest.raises(DataError, match="episode [0-9]+: no 'keyframes' in its metadata"):
        recorded(str(tmp_path / "data"))
