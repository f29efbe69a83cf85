"""`prepare inspect`: a page for people, JSON for programs, and a sheet of distinct transitions."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.layout import episodes_file
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.spec import ActionSpec
from data_pipelines.prepare import main
from data_pipelines.registry import recipe_options
from data_pipelines.tools.contact_sheet import _shares, action_text, choose, contact_sheet, spread
from data_pipelines.tools.inspection import inspect, page
from tests.data_pipelines.damage import change_dataset, change_manifest, change_record


def test_the_page_of_a_simple_folder_is_short_and_tells_all(square):
    text = page(open_dataset(square))
    assert f"{square}: 12 episodes, 312 transitions, 32 seconds\n" in text  # 12 x 27 at 10/s
    assert "made by: synthetic episodes=12 length=27 size=16" in text
    assert "train 10 (260), validation 1 (26), test 1 (26)" in text
    assert "square: 16x16x3 zstd, 10 frames/s, labels action reward state" in text
    assert "5 discrete actions: actions stay left right up down" in text
    assert "skipped" not in text and "leak" not in text and "language" not in text
    assert text.count("\n") < 12


def test_recordings_of_several_views_count_once(tmp_path):
    options = recipe_options("synthetic", "--episodes=5", "--length=20", "--size=16", "--cameras=2")
    prepare("synthetic", tmp_path / "data", options)
    text = page(open_dataset(tmp_path / "data"))
    assert "5 recordings x 2 cameras, 190 transitions, 10 seconds" in text  # 5 x 20 at 10/s
    assert "camera top" in text and "camera side" in text and text.count("discrete actions") == 1


def test_what_was_lost_is_grouped_with_examples(copy):
    def damaged(manifest):
        manifest["skipped"] = {"no images": 5, "too short": 1}
        manifest["skipped_items"] = [
            *([f"{i}.hdf5", "no images", f"{i}.hdf5: no camera top"] for i in range(5)),
            ["odd\x1b[31m\n\udcff.mp4", "too short", "one frame"],
        ]
        manifest["leakage_check"]["leaks"] = [f"a{i}.mp4 and b.mp4: 16 frames" for i in range(7)]
        manifest["passed_over"] = {".avi": {"files": 3, "example": "old.avi"}}
        manifest["language"] = {"recordings": 12, "empty": 3}
        manifest["missing"] = {"episodes": 6, "share": 0.3333, "estimated": True}

    change_manifest(copy, damaged)
    lines = page(open_dataset(copy)).splitlines()
    text = "\n".join(lines)
    assert "skipped: 6\n  5 no images\n    0.hdf5: no camera top\n    1.hdf5" in text
    assert "    and 2 more\n  1 too short\n    odd\\x1b[31m\\n\\udcff.mp4: one frame" in text
    assert "leaks: 7 pairs of episodes in two splits share frames\n  a0.mp4 and b.mp4" in text
    assert "  and 4 more (--json lists them)" in text
    assert "passed over: 3 .avi files (old.avi, ...)" in text
    assert "language: 9 of 12 episodes have a text" in text
    assert "missing: about 6 episodes (33.3 % of the source)" in text


def test_texts_of_folders_of_older_versions_are_counted(copy):
    file = episodes_file(copy, "square", "train")
    lines = file.read_text().splitlines()
    texts = ["pick it up"] * 7 + [""] * 3
    file.write_text(
        "".join(
            line[:-1] + f', "language": {json.dumps(text)}}}\n'
            for line, text in zip(lines, texts, strict=True)
        )
    )
    assert "language: 7 of 10 episodes have a text" in page(open_dataset(copy))


def test_ranges_of_actions_without_bounds_are_those_of_the_data(copy):
    def continuous(entry):
        entry["spec"]["action"] = {"kind": "continuous", "names": ["x"], "low": None, "high": None}

    def small(features):
        values = np.full(len(features["frames"].bytes_list.value) - 1, 0.00123, np.float32)
        values[0] = -0.5
        features["action"].bytes_list.value[0] = values.tobytes()

    change_dataset(copy, continuous)
    for number in range(40):
        change_record(copy, number, small)
    text = page(open_dataset(copy))
    assert "continuous actions, 1 numbers: x -0.5 to 0.0012 (in 40 of 40 records of train)" in text
    change_dataset(copy, lambda entry: entry["spec"]["action"].update(low=-1.0, high=1.0))
    assert "1 numbers: x, each -1 to 1" in page(open_dataset(copy))


def test_json_is_one_object_and_nothing_else(square, capsys, tmp_path):
    before = sorted(os.listdir(square))
    assert main(["inspect", str(square), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == open_dataset(square).manifest and sorted(os.listdir(square)) == before
    sheet = tmp_path / "sheet.png"
    assert main(["inspect", str(square), "--json", f"--sheet={sheet}"]) == 0
    assert json.loads(capsys.readouterr().out) == told and sheet.exists()


@pytest.mark.parametrize(
    "lengths, count", [([26] * 10, 4), ([3, 500, 3], 12), ([5], 5), ([1, 1], 2)]
)
def test_transitions_are_distinct_and_spread_over_episodes(lengths, count):
    for seed in range(20):
        numbers = spread(np.array(lengths), count, np.random.default_rng(seed))
        assert len(set(numbers)) == count and numbers == sorted(numbers)
        assert 0 <= numbers[0] and numbers[-1] < sum(lengths)
        episodes = np.searchsorted(np.cumsum(lengths), numbers, side="right")
        assert len(set(episodes.tolist())) >= min(len(lengths), count) - 1
    assert numbers == spread(np.array(lengths), count, np.random.default_rng(19))


def test_splits_share_the_sheet_and_small_ones_give_way():
    assert _shares({"train": 900, "validation": 90, "test": 90}, 12) == {
        "train": 4,
        "validation": 4,
        "test": 4,
    }
    assert _shares({"train": 900, "validation": 1, "test": 2}, 12) == {
        "train": 9,
        "validation": 1,
        "test": 2,
    }
    assert _shares({"train": 3}, 12) == {"train": 3}


def test_the_sheet_shows_each_transition_once(square):
    info = open_dataset(square)
    drawn = choose(info, "square", seed=0)
    assert len(set(drawn)) == 12
    assert {split for split, _ in drawn} == {"train", "validation", "test"}
    assert choose(info, "square", seed=0) == drawn != choose(info, "square", seed=1)
    sheet = contact_sheet(info, 0)
    assert sheet.size[0] > 1000 and sheet.size == contact_sheet(info, 0).size
    np.testing.assert_array_equal(np.asarray(sheet), np.asarray(contact_sheet(info, 0)))


def test_small_actions_do_not_become_zero():
    spec = ActionSpec("continuous", ("x", "y", "z"))
    assert action_text(np.array([0.0123, -1.0, 0.00004], np.float32), spec) == "0.012 -1 4e-05"
    assert action_text(np.int32(1), ActionSpec("discrete", ("stay", "left"))) == "left"


@pytest.mark.parametrize(
    "sheet, seed, message",
    [
        ("notes.txt", 0, "give the name of a .png file"),
        ("no/where.png", 0, "cannot write .*no/where.png: its folder is not there"),
        ("folder.png", 0, "folder.png', a folder"),
        ("sheet.png", -1, "seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_told_first(square, tmp_path, capsys, sheet, seed, message):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=message):
        inspect(square, str(tmp_path / sheet), seed)
    assert not capsys.readouterr().out and os.listdir(tmp_path) == ["folder.png"]


def test_a_sheet_that_cannot_be_saved_leaves_the_old_one(copy, monkeypatch):
    inspect(copy)
    before = (copy / "contact_sheet.png").read_bytes()

    def full(self, file, *arguments):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="cannot write .*_sheet.png .No space left on device"):
        inspect(copy)
    assert (copy / "contact_sheet.png").read_bytes() == before
    assert not [name for name in os.listdir(copy) if name.startswith(".")]
