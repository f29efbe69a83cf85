"""The simulator's data: reproducible, labels aligned with frames, experts that succeed."""

import sys

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.doom.game import Doom
from data_pipelines.simulators.rollout import rollout

PLAN = {"health_gathering_sticky": 400, "defend_the_center_noisy": 1}


def doom_options(*arguments):
    return recipe_options("doom", *arguments)


@pytest.fixture(scope="module")
def doom(tmp_path_factory):
    """About 900 transitions: every dataset gets at least one episode for each split."""
    out = tmp_path_factory.mktemp("doom") / "data"
    prepare("doom", out, doom_options() | {"plan": PLAN}, engine=Engine(workers=2))
    return out


def test_two_collections_are_equal_to_the_byte_whatever_the_number_of_workers(doom, tmp_path):
    again = tmp_path / "again"
    prepare("doom", again, doom_options() | {"plan": PLAN}, engine=Engine(workers=1))
    files = sorted(path.relative_to(doom) for path in doom.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert any(".array_record" in path.name for path in files)
    for path in files:
        assert (doom / path).read_bytes() == (again / path).read_bytes(), path


def test_manifest_records_mixture_splits_and_simulator(doom):
    info = open_dataset(doom)
    assert list(info.datasets) == list(PLAN)
    for name, count in PLAN.items():
        assert info.manifest["mixture"][name] >= count
        assert all(info.counts[name][split]["episodes"] >= 1 for split in info.splits)
    assert info.manifest["options"]["plan"] == PLAN
    assert info.manifest["sources"]["simulator"] == "vizdoom"
    spec = info.datasets["health_gathering_sticky"]
    assert spec.action.names == ("L", "R", "F", "FL", "FR") and spec.frame_skip == 4
    assert info.image_shape == (64, 64, 3)


def test_actions_are_aligned_with_frames_and_states(doom):
    """A turn changes the angle in its own step: left up, right down, straight not at all."""
    batches = list(
        ordered_batches(doom, ("health_gathering_sticky",), "train", 64, ("action", "state"))
    )
    state = np.concatenate([b["state"] for b in batches])
    action = np.concatenate([b["action"] for b in batches])[:, 0]
    frames = np.concatenate([b["frames"] for b in batches])
    names = open_dataset(doom).datasets["health_gathering_sticky"].state_names
    angle = state[..., names.index("ANGLE")]
    turn = (angle[:, 1] - angle[:, 0] + 180) % 360 - 180
    assert (turn[np.isin(action, (0, 3))] > 0).all() and (turn[np.isin(action, (1, 4))] < 0).all()
    assert (turn[action == 2] == 0).all()
    assert (
        frames.std(axis=(2, 3, 4)).min() > 1 and (frames[:, 0] != frames[:, 1]).any((1, 2, 3)).all()
    )


def test_sticky_play_uses_all_actions_and_keeps_most(doom):
    batches = ordered_batches(doom, ("health_gathering_sticky",), "train", 64, ("action",))
    action = np.concatenate([b["action"] for b in batches])[:, 0]
    kept = (action[1:] == action[:-1]).mean()  # 0.7 + 0.3/5, episode borders aside
    assert 0.66 < kept < 0.86 and set(action) == set(range(5))


def test_mixture_follows_the_weights_and_keeps_the_order_of_each_part(doom):
    names = list(PLAN)

    def rows(datasets, count):
        config = {"path": str(doom), "datasets": datasets, "gap": (1, 3)}
        iterator = training_batches(config, seed=5, batch_size=100)
        batches = [next(iterator) for _ in range(count)]
        iterator.close()
        keys = ("dataset", "episode", "t", "gap")
        return np.concatenate([np.stack([b[key] for key in keys], 1) for b in batches])

    mixed = rows({names[0]: 3.0, names[1]: 1.0}, 4)
    share = np.bincount(mixed[:, 0]) / len(mixed)
    np.testing.assert_allclose(share, [0.75, 0.25], atol=0.01)
    alone = rows((names[1],), 1)
    second = mixed[mixed[:, 0] == 1]
    np.testing.assert_array_equal(second[:, 1:], alone[: len(second), 1:])
    proportional = np.bincount(rows((), 4)[:, 0]) / 400
    counts = [open_dataset(doom).counts[name]["train"]["transitions"] for name in names]
    np.testing.assert_allclose(proportional, np.array(counts) / sum(counts), atol=0.05)


def test_mixture_of_action_spaces_is_refused_with_actions_and_read_without(doom):
    with pytest.raises(DataError, match="differ in action and cannot share a batch"):
        training_batches({"path": str(doom), "fields": ("action",)}, seed=0, batch_size=4)
    with pytest.raises(DataError, match="differ in action.*name one of them"):
        open_dataset(doom).action  # noqa: B018
    batches = training_batches({"path": str(doom)}, seed=0, batch_size=4)
    assert set(next(batches)) == {"frames", "gap", "episode", "t", "dataset"}
    batches.close()


@pytest.mark.parametrize("task, least", [("health_gathering", 2100), ("my_way_home", 0.9)])
def test_experts_solve_their_scenario(task, least):
    with Doom(ground_truth=True) as simulator:
        simulator.reset(0, task)
        episode = rollout(simulator, simulator.expert())
        assert simulator.normalised_score(episode.episode_return) > 0.9
    assert episode.done and episode.episode_return >= least
    assert len(episode.frames["player"]) == len(episode.action) + 1 == episode.length


def test_nothing_is_shown_or_played_where_no_episode_runs():
    with Doom() as simulator:
        for look in (simulator.frames, simulator.state, lambda: simulator.step(0)):
            with pytest.raises(DataError, match=r"no episode of Doom runs.*call reset"):
                look()
        simulator.reset(0, "health_gathering")
        while not simulator.step(0).done:
            assert simulator.frames()
        with pytest.raises(DataError, match="no episode of Doom runs"):
            simulator.frames()


def test_plan_options():
    assert sum(doom_options()["plan"].values()) >= 25_000
    assert sum(doom_options("--fast")["plan"].values()) == 3500
    assert doom_options("--plan=my_way_home_expert=10", "--transitions=50")["plan"] == {
        "my_way_home_expert": 50
    }
    with pytest.raises(DataError, match="task one of health_gathering, my_way_home"):
        doom_options("--plan=doom2_sticky=5")
    with pytest.raises(DataError, match="is not <task>_<behaviour>=<transitions>"):
        doom_options("--plan=my_way_home_sticky=many")


def test_missing_simulator_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(DataError, match=r"pip install 'flexlam_jax\[doom\]'"):
        prepare("doom", tmp_path / "out", doom_options())
    assert not list(tmp_path.iterdir())
