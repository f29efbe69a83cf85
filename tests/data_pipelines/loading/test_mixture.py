"""Mixtures over folders: sizes, actions, cameras, gaps in seconds, subsets, joint batches."""

import json
import shutil

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.gaps import gap_frames
from data_pipelines.loading.joint import joint_batches
from data_pipelines.loading.loader import count_windows, ordered_batches, training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic
from flexlam_jax.evaluation import probes


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """32-pixel frames, other episodes than `square`."""
    options = recipe_options("synthetic", "--episodes=8", "--length=20", "--size=32", "--seed=5")
    out = tmp_path_factory.mktemp("mixture") / "large"
    prepare("synthetic", out, options)
    return out, options


def changed(folder, out, **spec):
    """A copy of a folder whose spec says something else."""
    shutil.copytree(folder, out)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["datasets"]["square"]["spec"] |= spec
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def take(iterator, count):
    batches = [next(iterator) for _ in range(count)]
    iterator.close()
    return batches


def rows(batches, *keys):
    return np.concatenate([np.stack([b[key] for key in keys], 1) for b in batches])


def mixture(**entries):
    return {
        "mixture": {
            k: {"path": str(v)} if not isinstance(v, dict) else v for k, v in entries.items()
        }
    }


def test_sizes_weights_and_names(square, square_options, large):
    folder, options = large
    config = mixture(
        small={"path": str(square), "weight": 3}, big={"path": str(folder), "weight": 1, "gap": 2}
    ) | {"image_size": 16, "resize": True}
    iterator = training_batches(config, seed=0, batch_size=40)
    assert iterator.datasets == ("small/square", "big/square")
    batches = take(iterator, 10)
    assert (np.bincount(rows(batches, "dataset")[:, 0]) == [300, 100]).all()
    data = [list(synthetic.episodes(square_options)), list(synthetic.episodes(options))]
    for i in range(40):
        dataset, episode, t, gap = rows(batches[:1], "dataset", "episode", "t", "gap")[i]
        assert gap == 1 + dataset
        expected = [fit_frame(data[dataset][episode][0][s], 16, "crop") for s in (t, t + gap)]
        np.testing.assert_array_equal(batches[0]["frames"][i], expected)


def test_entries_keep_their_order_when_another_is_added(square, large):
    def of_small(config):
        found = rows(
            take(training_batches(config, seed=1, batch_size=64), 4), "dataset", "episode", "t"
        )
        return found[found[:, 0] == 0, 1:]

    size = {"image_size": 16, "resize": True}
    alone = of_small(mixture(small=square) | size)
    mixed = of_small(mixture(small=square, big=large[0]) | size)
    assert 0 < len(mixed) < len(alone)
    np.testing.assert_array_equal(mixed, alone[: len(mixed)])


def test_different_actions_share_a_wide_batch(square, large, tmp_path):
    few = changed(
        square,
        tmp_path / "few",
        action={"kind": "discrete", "names": list("abcdefg"), "low": None, "high": None},
    )
    none = changed(square, tmp_path / "none", action=None, has_reward=False)
    fields = {"fields": ("action", "reward")}
    config = mixture(five=square, seven=few, none=none) | fields
    (batch,) = take(training_batches(config, seed=0, batch_size=96), 1)
    assert batch["action"].dtype == np.float32 and batch["action"].shape == (96, 1, 7)
    width = np.array([5, 7, 0])[batch["dataset"]]
    np.testing.assert_array_equal(batch["action_width"], width)
    np.testing.assert_array_equal(batch["has_reward"], width > 0)
    np.testing.assert_array_equal(batch["action"].sum((1, 2)), width > 0)
    assert (batch["reward"][width == 0] == 0).all() and batch["reward"].any()
    (same,) = take(training_batches(mixture(a=square, b=square) | fields, seed=0, batch_size=8), 1)
    assert same["action"].dtype == np.int32 and "action_width" not in same
    with pytest.raises(DataError, match="has no field 'action'"):
        training_batches(mixture(a=none, b=none) | fields, seed=0, batch_size=8)


def test_one_hot_marks_the_action_taken(square, square_options, tmp_path):
    none = changed(square, tmp_path / "none", action=None)
    seven = changed(
        square,
        tmp_path / "seven",
        action={"kind": "discrete", "names": list("abcdefg"), "low": None, "high": None},
    )
    config = mixture(a=square, b=seven, c=none) | {"fields": ("action",)}
    (batch,) = take(training_batches(config, seed=0, batch_size=48), 1)
    episodes = list(synthetic.episodes(square_options))
    for i in np.flatnonzero(batch["action_width"]):
        taken = episodes[batch["episode"][i]][1][batch["t"][i]]
        assert batch["action"][i, 0].argmax() == taken


def test_gaps_in_seconds(square):
    spec = open_dataset(square).spec("square")  # 10 frames per second
    assert gap_frames("0.2s", spec) == (2, 2)
    assert gap_frames(("0.1s", "0.35s"), spec) == (1, 4)  # 3.5 frames, halves up
    batches = take(
        training_batches({"path": str(square), "gap": ("0.1s", "0.3s")}, seed=0, batch_size=64), 2
    )
    frames = take(training_batches({"path": str(square), "gap": (1, 3)}, seed=0, batch_size=64), 2)
    for a, b in zip(batches, frames, strict=True):
        np.testing.assert_array_equal(a["frames"], b["frames"])
    assert set(rows(batches, "gap")[:, 0]) == {1, 2, 3}


@pytest.mark.parametrize(
    "gap, fps, message",
    [
        ("0.04s", 10.0, "is 0.40 frames at 10 per second and rounds to 0; use at least 0.1s"),
        ("0.2s", 0.0, "does not know its frames per second"),
        ("0.5s", 10.0, "spans 5 frames, its records were cut for 4.*--max-span=5"),
        (("0.3s", "0.1s"), 10.0, "data.gap is"),
        ("2", 10.0, "data.gap is '2'"),
        ((1, "0.2s"), 10.0, "data.gap is"),
        ("0s", 10.0, "data.gap is"),
    ],
)
def test_wrong_gaps(square, tmp_path, gap, fps, message):
    folder = changed(square, tmp_path / "copy", fps=fps)
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(folder), "gap": gap}, seed=0, batch_size=4)


def visited(config, count, **more):
    (batch,) = take(training_batches(config | more, seed=0, batch_size=count), 1)
    return set(map(tuple, rows([batch], "episode", "t").tolist()))


def test_subsets_are_fixed_nested_and_chosen_by_their_seed(square):
    config = {"path": str(square)}
    ten, fifty = (visited(config, 200, transitions=n) for n in (10, 50))
    assert (len(ten), len(fifty)) == (10, 50) and ten < fifty
    assert visited(config, 200, transitions=10, pairs_per_clip=4) == ten
    assert len(visited(config, 60, fraction=0.1)) == 26
    assert visited(config, 200, transitions=10, subset_seed=1) != ten
    assert len(visited(config, 8, fraction=0.0001)) == 1
    with pytest.raises(DataError, match="asks for 261 windows, there are 260"):
        training_batches(config | {"transitions": 261}, seed=0, batch_size=4)


def test_a_share_of_the_episodes_is_fixed_nested_and_whole(square):
    config = {"path": str(square)}
    every, half, few = (visited(config, 600, episodes=share) for share in (1.0, 0.5, 0.1))
    episodes = [{episode for episode, _ in seen} for seen in (every, half, few)]
    assert len(episodes[1]) == round(len(episodes[0]) / 2) and len(episodes[2]) == 1
    assert few < half < every
    assert half == {row for row in every if row[0] in episodes[1]}  # whole episodes
    assert visited(config, 600, episodes=0.5, subset_seed=1) != half
    assert visited(config, 600, episodes=0.5, pairs_per_clip=4) == half
    some = visited(config, 600, episodes=0.5, transitions=10)
    assert len(some) == 10 and some < half


def test_all_cameras_of_a_recording_keep_the_same_episodes(paired):
    specs = [open_dataset(paired[0]).spec(name) for name in open_dataset(paired[0]).datasets]
    kept = {}
    for spec in specs:
        config = {"path": str(paired[0]), "datasets": (spec.name,), "episodes": 0.5}
        kept.setdefault(spec.recording, []).append(visited(config, 200))
    assert all(len(seen) == 4 and len(set(map(frozenset, seen))) == 1 for seen in kept.values())


def test_a_label_draw_is_the_one_that_translators_are_fitted_on(square):
    config = {"path": str(square), "label_draw": 2, "subset_seed": 5}
    order = np.concatenate(
        [
            np.stack([batch["episode"], batch["t"]], 1)
            for batch in ordered_batches(square, split="train", batch_size=64)
        ]
    )
    assert count_windows({"path": str(square)}) == len(order) == 260
    drawn = probes.label_draws(len(order), 3, 5)[2]
    assert count_windows(config | {"transitions": 12}) == 12
    assert visited(config, 200, transitions=12) == set(map(tuple, order[drawn[:12]].tolist()))
    assert visited(config, 200, transitions=12, label_draw=1) != visited(
        config, 200, transitions=12
    )


def test_streams_of_joint_batches_are_independent(square, large):
    def streams(seed=0, size=4, **labelled):
        config = {"path": str(square), "fields": ("action",), "transitions": 9} | labelled
        return joint_batches(
            {"labelled": config, "video": {"path": str(large[0])}},
            seed=seed,
            batch_size={"labelled": size, "video": 12},
        )

    first, other = take(streams(), 3), take(streams(transitions=20, size=8), 3)
    assert first[0]["labelled"]["action"].shape == (4, 1)
    assert "action" not in first[0]["video"]
    for a, b in zip(first, other, strict=True):
        np.testing.assert_array_equal(a["video"]["frames"], b["video"]["frames"])
    assert (take(streams(seed=1), 1)[0]["video"]["t"] != first[0]["video"]["t"]).any()
    resumed = streams()
    resumed.set_state({"next_index": 2})
    batch = next(resumed)
    assert resumed.get_state() == {"next_index": 3}
    resumed.close()
    for name in ("labelled", "video"):
        np.testing.assert_array_equal(batch[name]["frames"], first[2][name]["frames"])
    halves = [
        joint_batches(
            {"video": {"path": str(large[0])}},
            seed=0,
            batch_size={"video": 12},
            process_index=p,
            process_count=2,
        )
        for p in (0, 1)
    ]
    joined = np.concatenate([take(half, 1)[0]["video"]["t"] for half in halves])
    np.testing.assert_array_equal(joined, first[0]["video"]["t"])


def test_wrong_joint_batches(square):
    with pytest.raises(DataError, match="one batch size per stream"):
        joint_batches({"a": {"path": str(square)}}, seed=0, batch_size={"b": 4})
    with pytest.raises(DataError, match="stream 'a': data.path is empty"):
        joint_batches({"a": {}}, seed=0, batch_size={"a": 4})


@pytest.mark.parametrize(
    "config, message",
    [
        ({"path": "x"}, "data.path and data.mixture are both set"),
        ({"transitions": 3}, "data.transitions and data.mixture are both set"),
        (
            {"mixture": {"a": {"path": "x", "size": 3}}},
            "unknown key of data.mixture.a: size; known",
        ),
        (
            {"mixture": {"a": {"path": "x", "weight": 1}, "b": {"path": "x"}}},
            "mixture.b has no weight",
        ),
        ({"mixture": {"a": {"path": "x", "weight": 0}}}, "weights must be positive"),
        ({"mixture": {"a": {}}}, "data.mixture.a has no path"),
        ({"resize": True}, "data.resize needs data.image_size"),
        ({}, "differ in image shape.*set data.resize"),
        ({"mixture": {"a": {"path": "x", "transitions": 2, "fraction": 0.5}}}, "give one of them"),
    ],
)
def test_wrong_mixtures(square, large, config, message):
    with pytest.raises(DataError, match=message):
        training_batches(mixture(small=square, big=large[0]) | config, seed=0, batch_size=4)
