"""`prepare table` from files to a folder: columns, actions, splits, statistics, equal bytes."""

import hashlib

import numpy as np
import pytest

from data_pipelines.format.vectors import observed_columns, state_statistics
from data_pipelines.prepare import main
from data_pipelines.readers.table import files
from tests.data_pipelines.readers.table.table_files import episodes, log, made, write


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".tsv"])
def test_values_actions_and_statistics_are_those_of_the_file(tmp_path, suffix):
    tables = [log(seed) for seed in range(4)]
    for i, columns in enumerate(tables):
        write(tmp_path / f"in/run{i}{suffix}", columns, "\t" if suffix == ".tsv" else ",")
    info = made(tmp_path / "in", tmp_path / "out", "--time=t", "--actions=valve")
    spec = info.spec("table")
    assert spec.state_names == ("level", "flow") and spec.fps == 1.0 and spec.exogenous_state == ()
    assert spec.action.kind == "discrete" and spec.action.names == ("0", "1", "2")
    found = episodes(info)
    train = []
    for i, columns in enumerate(tables):
        split, state, action = found[f"run{i}{suffix}:00000"]
        truth = np.stack([columns["level"], columns["flow"]], 1)
        assert np.array_equal(state, truth.astype(np.float32))
        assert np.array_equal(action, columns["valve"][:-1])
        train += [truth.astype(np.float32).astype(np.float64)] if split == "train" else []
    rows = np.concatenate(train)
    statistics = state_statistics(spec)
    np.testing.assert_allclose(statistics["mean"], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics["std"], rows.std(axis=0), rtol=1e-12)
    assert statistics["min"].tolist() == rows.min(axis=0).tolist()
    assert spec.details["state_statistics"]["rows"] == len(rows)
    assert info.manifest["sources"]["split_by"] == "file"
    assert "skipped" not in info.manifest or not info.manifest["skipped"]


def test_the_result_does_not_depend_on_workers_and_is_kept(tmp_path, capsys):
    for i in range(5):
        write(tmp_path / f"in/{i}.csv", log(i))
    arguments = ("--time=t", "--actions=valve", "--cut=20")
    texts = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        made(tmp_path / "in", out, *arguments, workers=workers)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        texts.append(
            [(str(f.relative_to(out)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
        )
    assert texts[0] == texts[1]
    command = ["table", f"--source={tmp_path / 'in'}", f"--out={tmp_path / 'out1'}", *arguments]
    assert main(command) == 0
    assert "already prepared" in capsys.readouterr().out
    assert main(["validate", str(tmp_path / "out1")]) == 0
    assert main(["inspect", str(tmp_path / "out1")]) == 0
    assert "no pictures, vectors of 2 numbers" in capsys.readouterr().out


def test_one_long_series_is_split_into_blocks_of_time(tmp_path, capsys):
    columns = log(count=1000)
    write(tmp_path / "one.csv", columns)
    info = made(
        tmp_path / "one.csv",
        tmp_path / "out",
        "--time=t",
        "--actions=valve",
        "--cut=100",
        "--margin=20",
    )
    order = {"train": (0, 780), "validation": (800, 880), "test": (900, 1000)}
    flow = columns["flow"].astype(np.float32)
    for split, (start, stop) in order.items():
        parts = [
            (source, state) for source, (of, state, _) in episodes(info).items() if of == split
        ]
        held = np.concatenate([state[:, 1] for _, state in sorted(parts)])
        assert np.array_equal(held, flow[start:stop])
    assert info.manifest["skipped"] == {"between splits": 1} and "missing" not in info.manifest
    assert info.manifest["sources"]["notes"] == [
        "fewer than three series: train, validation and test are blocks of time"
    ]


def test_series_that_alternate_become_episodes_of_their_own(tmp_path):
    """Rows of four machines in turn, at the same times; groups stay in one split over two files."""
    for file in range(2):
        machines = [log(10 * file + i, 40, start=100.0 * file) for i in range(4)]
        columns = {
            name: np.stack([machine[name] for machine in machines], 1).ravel()
            for name in machines[0]
        }
        columns["machine"] = np.tile([f"m{i}" for i in range(4)], 40)
        write(tmp_path / f"in/day{file}.csv", columns)
    info = made(
        tmp_path / "in", tmp_path / "out", "--time=t", "--episode=machine", "--actions=valve"
    )
    found = episodes(info)
    assert len(found) == 8
    splits = {}
    for file in range(2):
        for i in range(4):
            (source,) = [key for key in found if key.startswith(f"day{file}.csv:m{i}:")]
            split, state, action = found[source]
            truth = log(10 * file + i, 40)
            assert np.array_equal(state[:, 1], truth["flow"].astype(np.float32))
            assert np.array_equal(action, truth["valve"][:-1])
            splits.setdefault(i, set()).add(split)
    assert all(len(of) == 1 for of in splits.values())


def test_a_shuffled_file_is_sorted_if_asked(tmp_path):
    columns = log(count=400)
    order = np.random.default_rng(0).permutation(400)
    write(tmp_path / "a.csv", {name: values[order] for name, values in columns.items()})
    info = made(
        tmp_path / "a.csv", tmp_path / "out", "--time=t", "--actions=valve", "--backward=sort"
    )
    found = episodes(info)
    train = next(state for split, state, _ in found.values() if split == "train")
    assert np.array_equal(train[:, 1], columns["flow"][: len(train)].astype(np.float32))
    assert any("rows were sorted" in n for n in info.manifest["sources"]["notes"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_are_read_a_batch_at_a_time_whatever_they_hold(tmp_path, monkeypatch, suffix):
    """Small batches give what one batch gives: series, missing values, words and order among them."""
    machines = [log(i, 300, start=1000.0 * i) for i in range(3)]
    columns = {
        name: np.concatenate([machine[name] for machine in machines]) for name in machines[0]
    }
    columns["machine"] = np.repeat(["a", "b", "c"], 300)
    columns["valve"] = np.array(["shut", "half", "open"])[columns["valve"]]
    columns["flow"][[40, 41, 500]] = np.nan
    order = np.random.default_rng(0).permutation(900)
    file = write(tmp_path / f"a{suffix}", {name: values[order] for name, values in columns.items()})
    arguments = ("--time=t", "--episode=machine", "--actions=valve", "--backward=sort", "--fill=1")
    whole = made(file, tmp_path / "whole", *arguments)
    monkeypatch.setattr(files, "_BLOCK", 2000)
    monkeypatch.setattr(files, "_ROWS", 40)
    assert len(list(files.batches(file, ["t"], files.Dialect(), []))) > 10
    parts = made(file, tmp_path / "parts", *arguments)
    assert whole.manifest["content_hash"] == parts.manifest["content_hash"]
    assert whole.manifest["skipped_items"] == parts.manifest["skipped_items"]
    found = episodes(parts)
    first = found[min(source for source in found if ":a:" in source)]
    assert np.array_equal(first[1][:, 1], columns["flow"][:40].astype(np.float32))


def test_filled_rows_take_the_values_before(tmp_path):
    columns = log(count=400)
    columns["flow"][50] = np.nan
    columns["level"] = columns["level"].astype(object)
    columns["level"][51] = "ERR"
    write(tmp_path / "a.csv", columns)
    info = made(
        tmp_path / "a.csv",
        tmp_path / "out",
        "--time=t",
        "--actions=valve",
        "--fill=2",
        "--missing=ERR",
    )
    state = next(state for split, state, _ in episodes(info).values() if split == "train")
    assert state[50, 1] == state[49, 1] and state[50, 0] == np.float32(columns["level"][50])
    assert state[51, 0] == state[50, 0] and state[51, 1] == np.float32(columns["flow"][51])
    facts = info.episodes("table", "train")[0]
    assert facts["filled_rows"] == 2 and facts["first_row"] == 1 and facts["start"] == 0.0


def test_several_columns_of_actions_are_continuous_and_hidden_ones_are_not_observed(tmp_path):
    columns = log(count=600)
    columns["pump"] = np.random.default_rng(1).random(600)
    write(tmp_path / "a.csv", columns)
    info = made(
        tmp_path / "a.csv",
        tmp_path / "out",
        "--time=t",
        "--actions=valve,pump",
        "--columns=level",
        "--hidden=flow",
        "--exogenous=flow",
    )
    spec = info.spec("table")
    assert spec.action.kind == "continuous" and spec.action.names == ("valve", "pump")
    assert spec.state_names == ("level", "flow") and observed_columns(spec) == (0,)
    assert spec.exogenous_state == ("flow",)
    _, _, action = next(iter(episodes(info).values()))
    assert np.array_equal(
        action[:, 1].astype(np.float32), columns["pump"][: len(action)].astype(np.float32)
    )


def test_words_are_actions_of_their_own_names(tmp_path):
    columns = log(count=600)
    columns["valve"] = np.array(["shut", "half", "open"])[columns["valve"]]
    write(tmp_path / "a.csv", columns)
    spec = made(tmp_path / "a.csv", tmp_path / "out", "--time=t", "--actions=valve").spec("table")
    assert spec.action.names == ("half", "open", "shut")
