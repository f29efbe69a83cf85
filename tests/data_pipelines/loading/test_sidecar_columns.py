"""The loader joins sidecars: the right rows, in mixtures and in processes; strangers are refused."""

import pathlib
import re

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.registry import recipe_options

SQUARE = ("square", "train")


def stamps(info, alignment, gap=None):
    """int32 (N, 2): episode and t of every row."""
    episodes = split_episodes(info, *SQUARE)
    counts = np.diff(episodes.offsets(alignment, gap))
    numbers = np.repeat(episodes.numbers, counts)
    times = np.concatenate([np.arange(count) for count in counts])
    return np.stack([numbers, times], 1).astype(np.int32)


@pytest.fixture(scope="module")
def folders(square, tmp_path_factory):
    """Sidecars of the square dataset by alignment; transitions are 2 frames apart."""
    info, root = open_dataset(square), tmp_path_factory.mktemp("sidecars")
    for alignment, gap in (("frame", None), ("transition", 2), ("episode", None)):
        write_sidecar(
            root / alignment,
            info,
            *SQUARE,
            {"stamps": stamps(info, alignment, gap), "zeros": stamps(info, alignment, gap) * 0},
            kind="stamps",
            alignment=alignment,
            gap=gap,
            made_by={"model": "m"},
        )
    return root


def columns(folders):
    of = {name: {"path": str(folders / name), "array": "stamps"} for name in ("frame", "episode")}
    return of | {"stamps": str(folders / "transition")}


def check(batch):
    """Every stamp is that of its row."""
    steps = batch["gap"][:, None] * np.arange(3)
    times = batch["t"][:, None] + steps
    np.testing.assert_array_equal(batch["frame"][..., 1], times)
    np.testing.assert_array_equal(batch["stamps"][..., 1], times[:, :2])
    for name in ("frame", "stamps"):
        assert (batch[name][..., 0] == batch["episode"][:, None]).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_columns_are_those_of_the_windows(square, folders, workers):
    config = {"path": str(square), "gap": 2, "clip_length": 3, "workers": workers}
    config |= {
        "sidecars": {key.replace("episode", "text"): v for key, v in columns(folders).items()}
    }
    batches = training_batches(config, seed=0, batch_size=32)
    plain = training_batches(config | {"sidecars": {}}, seed=0, batch_size=32)
    for _ in range(2):
        batch, expected = next(batches), next(plain)
        shapes = {name: batch[name].shape for name in ("frame", "stamps", "text")}
        assert shapes == {"frame": (32, 3, 2), "stamps": (32, 2, 2), "text": (32, 2)}
        check(batch)
        np.testing.assert_array_equal(batch["text"][:, 0], batch["episode"])
        for key in expected:  # Rows and their order are as without sidecars.
            np.testing.assert_array_equal(batch[key], expected[key])
    batches.close(), plain.close()


def test_chunks_of_columns_end_with_the_episode(square, folders):
    config = {"path": str(square), "gap": 2, "clip_length": 3, "column_chunk": 9}
    config["sidecars"] = {"z": columns(folders)["frame"], "stamps": columns(folders)["stamps"]}
    config["sidecars"]["text"] = columns(folders)["episode"]
    batches = training_batches(config, seed=0, batch_size=64)
    batch = next(batches)
    batches.close()
    assert "text_chunk" not in batch
    times = batch["t"][:, None] + np.arange(9)
    for name, rows in (("z", 27), ("stamps", 25)):  # Frames of an episode, transitions of 2.
        held = times < rows
        assert 0 < held.sum() < held.size
        np.testing.assert_array_equal(batch[f"{name}_chunk_mask"], held)
        chunk = batch[f"{name}_chunk"]
        np.testing.assert_array_equal(chunk[..., 1], np.where(held, times, 0))
        np.testing.assert_array_equal(chunk[..., 0], np.where(held, batch["episode"][:, None], 0))
    for first, second in (("z", "z_chunk"), ("z_chunk", "z")):
        taken = {name: columns(folders)["frame"] for name in (first, second)}
        with pytest.raises(DataError, match="sidecars.z_chunk: batches have 'z_chunk' already"):
            training_batches(config | {"sidecars": taken}, seed=0, batch_size=4)


def test_ordered_batches_join_and_read_spans(square, folders):
    sidecars = {"stamps": str(folders / "transition")}
    given = dict(split="train", batch_size=16, gap=2, sidecars=sidecars)
    batches = list(ordered_batches(square, **given))
    whole = np.concatenate([batch["stamps"][:, 0] for batch in batches])
    np.testing.assert_array_equal(whole, stamps(open_dataset(square), "transition", 2))
    spans = [range(5, 30), range(40, 44)]
    parts = list(ordered_batches(square, **given, spans=spans))
    assert [len(part["t"]) for part in parts] == [16, 9, 4]
    joined = np.concatenate([part["stamps"][:, 0] for part in parts])
    np.testing.assert_array_equal(joined, np.concatenate([whole[5:30], whole[40:44]]))


def test_a_mixture_says_where_there_is_a_column(square, folders):
    entries = {
        "with": {"path": str(square), "gap": 2, "sidecars": {"z": columns(folders)["stamps"]}},
        "without": {"path": str(square), "gap": (1, 3)},
    }
    entries["with"]["sidecars"]["z"] = {"path": str(folders / "transition"), "array": "stamps"}
    batches = training_batches({"mixture": entries}, seed=0, batch_size=64)
    batch = next(batches)
    batches.close()
    held = batch["dataset"] == 0
    np.testing.assert_array_equal(batch["has_z"], held)
    assert 0 < held.sum() < 64 and not batch["z"][~held].any()
    np.testing.assert_array_equal(batch["z"][held, 0, 1], batch["t"][held])
    with pytest.raises(DataError, match="data.sidecars and data.mixture are both set"):
        training_batches(
            {"mixture": entries, "sidecars": {"z": str(folders / "frame")}}, seed=0, batch_size=4
        )
    entries["with"]["sidecars"]["has_z"] = entries["with"]["sidecars"]["z"]
    with pytest.raises(DataError, match="sidecars.has_z: batches have 'has_z' already"):
        training_batches({"mixture": entries}, seed=0, batch_size=4)
    del entries["with"]["sidecars"]["has_z"]
    entries["without"]["sidecars"] = {"z": {"path": str(folders / "frame"), "array": "stamps"}}
    with pytest.raises(DataError, match="is transition-aligned .* is frame-aligned"):
        training_batches({"mixture": entries}, seed=0, batch_size=4)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another dataset of the same names and lengths."""
    out = tmp_path_factory.mktemp("other") / "data"
    sizes = ("--episodes=12", "--length=27", "--size=16", "--clip-stride=8", "--max-span=4")
    prepare("synthetic", out, recipe_options("synthetic", *sizes, "--seed=1"))
    return out


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"path": "{other}"}, "data.sidecars.stamps: .*belongs to other records"),
        ({"gap": 1}, "transitions 2 frames apart, not 1"),
        ({"gap": (1, 2)}, "data.gap draws 1 to 2"),
        ({"split": "validation"}, "no finished sidecar"),
        (
            {"sidecars": {"s": {"path": "{transition}", "array": "zeros", "model": "x"}}},
            "made by model m, not by x",
        ),
        ({"sidecars": {"s": "{transition}"}}, "holds no array 's' but stamps, zeros"),
        ({"sidecars": {"frames": {"path": "{transition}", "array": "zeros"}}}, "'frames' already"),
        ({"sidecars": {"s": ""}}, "data.sidecars is .* use {name: folder"),
        ({"sidecars": {"s": {"path": "x", "other": "y"}}}, "data.sidecars is .*use {name: folder"),
        ({"sidecars": {"../s": "{transition}"}}, "is no name"),
        ({"sidecars": {"s": "{transition}/nowhere"}}, "no finished sidecar"),
    ],
)
def test_what_does_not_belong_is_one_message(square, folders, other, changed, told):
    places = {"{other}": str(other), "{transition}": str(folders / "transition")}

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, str):
            return re.sub(r"{\w+}", lambda found: places[found[0]], value)
        return value

    config = {"path": str(square), "gap": 2, "sidecars": {"stamps": "{transition}"}}
    with pytest.raises(DataError, match=told):
        training_batches(filled(config | changed), seed=0, batch_size=4)


def test_the_script_of_the_page_writes_what_the_loader_reads(square, tmp_path, monkeypatch):
    """The user's script of docs/data/loading.md, as it stands there."""
    page = pathlib.Path(__file__).parents[3] / "docs" / "data" / "loading.md"
    (script,) = re.findall(r"```python\n(# text\.py.*?)```", page.read_text(), re.DOTALL)
    assert len(script.strip().splitlines()) < 10
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "libero").symlink_to(square)
    monkeypatch.chdir(tmp_path)
    embed = lambda texts: np.stack([np.full(4, len(text), np.float32) for text in texts])  # noqa: E731
    exec(compile(script, str(page), "exec"), {"embed": embed})
    config = {"path": "data/libero", "sidecars": {"text": "text"}}
    batches = training_batches(config, seed=0, batch_size=8)
    batch = next(batches)
    batches.close()
    assert batch["text"].shape == (8, 4) and batch["text"].dtype == np.float32
