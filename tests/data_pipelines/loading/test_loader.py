"""Batches: what they hold, that they depend on (seed, step) only, nothing lost or doubled."""

import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format import clips as records
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.simulators import synthetic


@pytest.fixture(scope="module")
def episodes(square_options):
    return list(synthetic.episodes(square_options))


def take(iterator, count):
    batches = [next(iterator) for _ in range(count)]
    iterator.close()
    return batches


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_rows_are_the_frames_and_labels_that_were_simulated(square, episodes):
    config = {
        "path": str(square),
        "gap": (1, 2),
        "clip_length": 3,
        "fields": ["action", "reward", "state"],
    }
    for batch in take(training_batches(config, seed=1, batch_size=16), 3):
        assert batch["frames"].dtype == np.uint8 and batch["action"].dtype == np.int32
        for i in range(16):
            frames, action, reward, state = episodes[batch["episode"][i]]
            gap = batch["gap"][i]
            times = batch["t"][i] + gap * np.arange(3)
            np.testing.assert_array_equal(batch["frames"][i], frames[times])
            np.testing.assert_array_equal(batch["state"][i], state[times])
            np.testing.assert_array_equal(batch["action"][i], action[times[:-1]])
            expected = [reward[t : t + gap].sum() for t in times[:-1]]
            np.testing.assert_array_equal(batch["reward"][i], expected)


@pytest.mark.parametrize("processes", [2, 4])
def test_global_batch_is_the_same_for_any_number_of_processes(square, processes):
    config = {"path": str(square), "gap": (1, 4), "fields": ("action",)}
    whole = take(training_batches(config, seed=3, batch_size=8), 5)
    parts = [
        take(
            training_batches(
                config, seed=3, batch_size=8, process_index=p, process_count=processes
            ),
            5,
        )
        for p in range(processes)
    ]
    for step, expected in enumerate(whole):
        joined = {key: np.concatenate([part[step][key] for part in parts]) for key in expected}
        assert_equal(joined, expected)


def test_order_depends_on_the_seed_and_not_on_threads(square):
    config = {"path": str(square), "gap": (1, 4)}
    first = take(training_batches(config | {"threads": 1, "prefetch": 1}, seed=0, batch_size=8), 3)
    again = take(training_batches(config | {"threads": 4}, seed=0, batch_size=8), 3)
    other = take(training_batches(config, seed=1, batch_size=8), 3)
    for a, b in zip(first, again, strict=True):
        assert_equal(a, b)
    assert any((a["t"] != b["t"]).any() for a, b in zip(first, other, strict=True))


def test_worker_processes_give_the_same_batches(square):
    config = {"path": str(square), "gap": (1, 4)}
    expected = take(training_batches(config, seed=0, batch_size=8), 4)
    parallel = training_batches(config | {"workers": 2}, seed=0, batch_size=8)
    parallel.set_state({"next_index": 1})
    for a, b in zip(expected[1:], take(parallel, 3), strict=True):
        assert_equal(a, b)
    parallel.close()


_KILLED = """
import sys
from data_pipelines.loading.loader import training_batches
next(training_batches({"path": sys.argv[1], "workers": 1}, seed=0, batch_size=4))
print("reading", flush=True)
sys.stdin.read()
"""


def test_workers_end_with_a_trainer_that_is_killed(square):
    """They hold its output open: whoever waits for the end of that would wait for ever."""
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(square)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        assert trainer.stdout.readline() == "reading\n"
        trainer.kill()
        assert trainer.communicate(timeout=60) == ("", None)


def test_state_restores_the_next_batch_across_epochs(square):
    config = {"path": str(square)}
    iterator = training_batches(config, seed=0, batch_size=64)
    batches = [next(iterator) for _ in range(9)]  # 250 training windows: several epochs
    assert iterator.get_state() == {"next_index": 9}
    fresh = training_batches(config, seed=0, batch_size=64)
    fresh.set_state({"next_index": 6})
    assert_equal(next(fresh), batches[6])
    iterator.set_state({"next_index": 2})
    assert_equal(next(iterator), batches[2])
    far = training_batches(config, seed=0, batch_size=64)
    far.set_state({"next_index": 10**9})  # O(1): walking there would take days
    assert next(far)["frames"].shape == (64, 2, 16, 16, 3)
    for each in (iterator, fresh, far):
        each.close()


@pytest.mark.parametrize(
    "state", [{}, {"next_index": -1}, {"next_index": "2"}, {"next_index": 1.5}]
)
def test_a_position_that_is_none(square, state):
    with pytest.raises(DataError, match="position in the data: "):
        training_batches({"path": str(square)}, seed=0, batch_size=8).set_state(state)


def test_an_epoch_visits_every_transition_once(square):
    count = open_dataset(square).splits["train"]["transitions"]
    (batch,) = take(training_batches({"path": str(square)}, seed=0, batch_size=count), 1)
    visited = set(zip(batch["episode"].tolist(), batch["t"].tolist(), strict=True))
    assert len(visited) == count == 10 * 26


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_ordered_batches_yield_every_transition_once_and_in_order(square, episodes, split):
    rows = [
        (
            int(batch["episode"][i]),
            int(batch["t"][i]),
            batch["frames"][i],
            int(batch["action"][i, 0]),
        )
        for batch in ordered_batches(square, (), split, 7, fields=("action",))
        for i in range(len(batch["t"]))
    ]
    keys = [row[:2] for row in rows]
    ids = sorted({episode for episode, _ in keys})
    assert keys == [(episode, t) for episode in ids for t in range(26)]
    assert len(rows) == open_dataset(square).splits[split]["transitions"]
    for episode, t, frames, action in rows:
        np.testing.assert_array_equal(frames, episodes[episode][0][t : t + 2])
        assert action == episodes[episode][1][t]


def test_ordered_batches_stop_at_the_limit_and_keep_the_short_last_batch(square):
    sizes = [len(b["t"]) for b in ordered_batches(square, split="train", batch_size=8, limit=20)]
    assert sizes == [8, 8, 4]


def test_longest_window_stays_inside_its_episode(square):
    rows = [b for b in ordered_batches(square, split="train", batch_size=50, gap=2, clip_length=3)]
    t = np.concatenate([batch["t"] for batch in rows])
    assert len(t) == 10 * (27 - 4) and t.max() == 22


def test_action_free_reading_survives_poisoned_labels(square, monkeypatch):
    """No label is decoded unless asked for: a decoder that raises goes unnoticed until then."""

    def poisoned(self, label):
        raise AssertionError(f"{label} was decoded")

    monkeypatch.setattr(records.Clip, "decode_label", poisoned)
    take(training_batches({"path": str(square)}, seed=0, batch_size=8), 2)
    assert len(list(ordered_batches(square, split="test"))) == 1
    with pytest.raises(AssertionError, match="action was decoded"):
        next(ordered_batches(square, split="test", fields=("action",)))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"path": ""}, "data.path is empty"),
        ({"batch": 3}, "unknown data option batch; known: .*cameras, chunk, clip_length"),
        ({"datasets": ("circle",)}, "holds no dataset 'circle'; it holds: square"),
        ({"split": "dev"}, "no split 'dev'; it has: train, validation, test"),
        ({"fields": ("depth",)}, "unknown field 'depth'"),
        ({"clip_length": 1}, "at least 2 frames"),
        ({"gap": 0}, "data.gap is 0"),
        ({"gap": (3, 2)}, r"data.gap is \(3, 2\)"),
        ({"gap": 5}, "spans 5 frames, its records were cut for 4"),
        ({"datasets": {"square": 0.0}}, "weights must be positive"),
        ({"image_size": 64}, "has 16x16 frames, the config asks for 64x64"),
    ],
)
def test_bad_options_name_the_value_and_the_remedy(square, config, message):
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(square)} | config, seed=0, batch_size=8)


def test_batch_that_processes_cannot_share(square):
    with pytest.raises(DataError, match="batch size 6 cannot be shared evenly by 4 processes"):
        training_batches({"path": str(square)}, seed=0, batch_size=6, process_count=4)
