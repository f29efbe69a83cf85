"""Which writer a format gets, where it writes, and the cards that go along."""

import sys

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.exporters import episodes
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers import lerobot
from experiments.latent_exports import Export
from flexlam_jax.errors import UserError
from tests.data_pipelines.exporters.exported import SLOTS, latent_set
from tests.data_pipelines.readers import lerobot_checks as lc
from tests.data_pipelines.readers import rlds_files as rl

SPLITS = ("train", "validation", "test")
MADE = {"command": "python -m this", "versions": "of today"}


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    """raw/My set, a LeRobot set with seven actions; data/ made from it; out/ with sidecars."""
    place = tmp_path_factory.mktemp("arm")
    root = lc.write(place / "raw", (lc.TOP,), vectors=(("action", 7),))
    assert prepare("lerobot", place / "data", lc.options(root, "--leaks=report", "--name=arm"))
    latent_set(place / "data", place / "out", SPLITS)
    return place


class Chooser:
    """What an export asks of a model: three slots where a frame turns brighter and codes are even,
    else one."""

    slots, budgets, frame_shape = SLOTS, (1, 2, 3), (32, 32, 3)

    def budget(self, o_t, o_next, tolerance):
        self.asked = tolerance

    def shortfall(self, slots, o_t, o_next):
        assert slots.shape[1:] == (SLOTS, 2) and o_t.shape == o_next.shape
        rises = (o_next[:, 16, 16, 0] > o_t[:, 16, 16, 0]) & (slots[:, 0, 0] % 2 == 0)
        return np.where(rises[:, None], [9.0, 9.0, 0.0], [0.1, 0.1, 0.0])


def write(export, place, name, lam=Chooser()):
    info = open_dataset(place / "data")
    export.check(info, [name], SPLITS, lam)
    return export.write(place / "out", info, name, SPLITS, lam, "the model card", MADE)


def test_a_model_chooses_the_slots_of_every_transition(arm, tmp_path, monkeypatch):
    monkeypatch.setattr(episodes, "_BATCH", 2)
    (tmp_path / "data").symlink_to(arm / "data")
    latent_set(arm / "data", tmp_path / "out", SPLITS, gap=2)
    lam = Chooser()
    place = write(Export("lerobot", tolerance=0.2), tmp_path, "arm", lam)
    assert lam.asked == 0.2
    data = lerobot.open_lerobot(place)
    for episode in lerobot.list_episodes(data, []):
        columns = lerobot.read_columns(data, episode, ["latent_action.keep"])
        count = episode["length"] - 2
        # Every picture is brighter than the one before; `slots_of` begins with 1000 episode + t.
        expected = [3 if t % 2 == 0 else 1 for t in range(count)] + [0, 0]
        assert columns["latent_action.keep"].tolist() == expected
    assert "a tolerance of 0.2 dB of PSNR" in (place / "data_card.md").read_text()
    for given in ({"keep": 1}, {"format": "lary"}):
        with pytest.raises(UserError, match="--tolerance chooses the slots of every transition"):
            Export(**{"format": "rlds", "tolerance": 0.2} | given)


def test_beside_a_lerobot_set(arm):
    export = Export("lerobot", keep=2, beside=str(arm / "raw/My set"))
    place = write(export, arm, "arm")
    assert place == arm / "out/lerobot/arm" and (place / "model_card.md").read_text()
    data = lerobot.open_lerobot(place)
    assert {"observation.images.top", "action", "latent_action.keep"} <= data.features.keys()
    card = (place / "data_card.md").read_text()
    assert "every column as it was" in card and "python -m this" in card


def test_beside_an_rlds_set(tmp_path):
    schema, made = rl.one_camera(count=3)
    rl.write_set(tmp_path / "raw/toy/1.0.0", schema, made)
    assert prepare("rlds", tmp_path / "data", rl.options(tmp_path / "raw", "--leaks=report"))
    latent_set(tmp_path / "data", tmp_path / "out", SPLITS)
    place = write(Export("rlds", beside=str(tmp_path / "raw")), tmp_path, "toy")
    assert place == tmp_path / "out/rlds/toy/1.0.0" and (place / "features.json").is_file()


def test_probe_files_of_several_budgets_lie_side_by_side(arm):
    for keep, folder in ((1, "keep_1"), (None, "all")):
        place = write(Export("lary", keep=keep), arm, "arm")
        assert place == arm / "out/lary/arm" / folder
        card = (place / "data_card.md").read_text()
        assert f"--train_csv={place}/train_la_arm.csv" in card
        assert f"`tokens` float ({keep or SLOTS}, 2)" in card


def test_what_is_found_out_before_encoding(arm, monkeypatch):
    info = open_dataset(arm / "data")
    for export, told in (
        (Export("rlds", keep=SLOTS + 1), "--keep=4 is outside 0..3"),
        (Export("lary", keep=0), "keep is 0, which leaves no token"),
        (Export("rlds", beside=str(arm / "data")), "no nested sequence `steps`"),
    ):
        with pytest.raises((UserError, DataError), match=told):
            export.check(info, ["arm"], SPLITS, Chooser())
    with pytest.raises(UserError, match="is one set, and the datasets are arm, leg"):
        Export("lerobot", beside="raw").check(info, ["arm", "leg"], SPLITS, Chooser())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow, .*pip install 'flexlam_jax\[datasets\]'"):
        Export("lerobot")
