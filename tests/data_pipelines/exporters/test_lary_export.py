"""The files of LARYBench's regression probe, read as the probe reads them."""

import csv
import json

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.exporters import lary
from data_pipelines.exporters.lary import probe_command, write_lary
from tests.data_pipelines.exporters.exported import WIDTH, latent_set, slots_of
from tests.data_pipelines.readers import lerobot_checks as lc
from tests.data_pipelines.readers import robot_files as rf

GAP = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Episodes of 5, 4 and 6 frames with seven actions, one in each split."""
    place = tmp_path_factory.mktemp("lary")
    root = lc.write(place, (lc.TOP,), vectors=(("action", 7),))
    lc.change_info(root, lambda info: info.update(splits={"train": "0:2", "val": "2:3"}))
    assert prepare("lerobot", place / "data", lc.options(root, "--leaks=report", "--name=arm"))
    return latent_set(place / "data", place / "latents", ("train", "validation", "test"), gap=GAP)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tables_lead_to_tokens_and_actions(source, tmp_path):
    write_lary(tmp_path / "out", source)
    actions = {}
    tables = {"train": "train", "validation": "val", "test": "val_test"}
    for split, name in tables.items():
        rows = read(tmp_path / "out" / f"{name}_la_arm.csv")
        entries = source.of_split(split)
        expected = [(entry.number, t) for entry in entries for t in range(entry.length - GAP)]
        assert [(int(row["episode"]), int(row["t"])) for row in rows] == expected
        for row in rows:
            episode, t = int(row["episode"]), int(row["t"])
            tokens = np.load(row["la_path"])["tokens"]
            assert tokens.shape == (2, WIDTH)  # keep is 2
            np.testing.assert_array_equal(tokens, slots_of(episode, t)[:2])
            action = np.load(row["action"])
            assert action.shape == (lary.WIDTH,) and action.dtype == np.float32
            first = sum(rf.action_value(i) for i in range(t, t + GAP))
            np.testing.assert_allclose(action[0], first, atol=1e-6)
            actions.setdefault(split, []).append(action)
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    np.testing.assert_allclose(stats["mean"], np.mean(actions["train"], 0), atol=1e-6)
    np.testing.assert_allclose(stats["std"], np.std(actions["train"], 0), atol=1e-6)
    command = probe_command(source, tmp_path / "out")
    assert f"--val_csv={tmp_path}/out/val_la_arm.csv" in command


def test_a_damaged_folder_is_written_again(source, tmp_path, monkeypatch, capsys):
    write_lary(tmp_path, source)
    written = []
    write = lary._write_episode
    monkeypatch.setattr(
        lary, "_write_episode", lambda path, *given: written.append(path) or write(path, *given)
    )
    write_lary(tmp_path, source)
    assert not written
    first = read(tmp_path / "train_la_arm.csv")[0]["la_path"]
    with open(first, "ab") as file:
        file.write(b"more")
    with monkeypatch.context() as context:
        context.setattr(lary, "_write_table", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # Killed, it still knows whose folder it is.
            write_lary(tmp_path, source)
    write_lary(tmp_path, source)
    assert len(written) == len(source.entries) == 3 and "written again" in capsys.readouterr().out
    assert np.load(first)["tokens"].shape == (2, WIDTH)


def test_what_the_probe_cannot_read_is_refused(source, square, tmp_path):
    with pytest.raises(DataError, match="has 5 discrete actions; LARY's probe reads actions of 7"):
        write_lary(tmp_path / "out", latent_set(square, tmp_path / "square"))
    with pytest.raises(DataError, match="splits are train; the probe is fitted on train and"):
        lary.check_probe(source.spec, ("train",), 2)
    with pytest.raises(DataError, match="keep is 0, which leaves no token"):
        lary.check_probe(source.spec, source.splits, 0)
    assert not (tmp_path / "out").exists()
