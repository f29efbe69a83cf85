"""CoinRun by envpool, by a stand-in and, where it is installed, by the package itself."""

import sys

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import get_recipe, recipe_options
from data_pipelines.simulators.behaviours import Random
from data_pipelines.simulators.coinrun.simulator import ACTIONS, CoinRun, import_envpool
from data_pipelines.simulators.rollout import rollout
from tests.data_pipelines.simulators import coinrun_stand_in
from tests.data_pipelines.simulators.coinrun_stand_in import LENGTH

HARD, EASY = "coinrun_hard", "coinrun_easy"
RIGHT = ACTIONS.index("right")


@pytest.fixture(params=["stand_in", "package"])
def package(request, monkeypatch):
    """Both ways to have envpool."""
    if request.param == "stand_in":
        coinrun_stand_in.install(monkeypatch)
        return
    try:
        import_envpool()
    except DataError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def games(monkeypatch):
    """The games that the stand-in made."""
    return coinrun_stand_in.install(monkeypatch).made


def episode(simulator, seed, task=HARD, steps=25):
    simulator.reset(seed, task)
    return rollout(simulator, Random(simulator, np.random.default_rng(seed)), max_steps=steps)


def test_an_episode_is_a_function_of_seed_and_task(package):
    with CoinRun() as simulator:
        first = episode(simulator, 2**32 - 1)
        frames = first.frames["player"]
        assert frames.dtype == np.uint8 and frames.shape == (26, 64, 64, 3)
        assert first.state.shape == (26, 0) and first.metadata["success"] is False
        other, easy = episode(simulator, 4), episode(simulator, 4, EASY)
        assert (other.frames["player"][0] != frames[0]).any()
        assert other.metadata["level"] != first.metadata["level"]
        assert (easy.frames["player"][0] != other.frames["player"][0]).any()
        again = episode(simulator, 2**32 - 1)
        np.testing.assert_array_equal(again.frames["player"], frames)
        assert again.metadata == first.metadata


def test_an_action_leads_to_the_frame_after_it(package):
    with CoinRun() as simulator:
        seen = {}
        for action in ("right", "noop", "Q"):
            simulator.reset(1, HARD)
            seen[action] = rollout(
                simulator, lambda _, action=action: ACTIONS.index(action), max_steps=8
            ).frames["player"]
    assert (seen["right"][0] == seen["noop"][0]).all()
    assert (seen["right"][8] != seen["noop"][8]).any()
    np.testing.assert_array_equal(seen["Q"], seen["noop"])


def test_smaller_pictures_are_means_of_the_games(package):
    with CoinRun(size=16) as small, CoinRun() as whole:
        small.reset(1, HARD), whole.reset(1, HARD)
        means = whole.frames()["player"].reshape(16, 4, 16, 4, 3).mean((1, 3))
        np.testing.assert_allclose(small.frames()["player"], means, atol=1)
    with pytest.raises(DataError, match="drawn at 64 pixels.*--size=64 or less, not 128"):
        recipe_options("coinrun", "--size=128")


def test_every_episode_has_a_game_with_its_seed_and_ends_with_it(games):
    with CoinRun() as simulator:
        for seed in range(8):
            played = episode(simulator, seed, steps=0)
            level = played.metadata["level"]
            solved = level % 2 == 0
            assert played.done and played.length == LENGTH + 1 - 2 * solved
            assert played.metadata["success"] is solved and simulator.success() is solved
            assert played.episode_return == 10 * solved
            assert (played.frames["player"][:, 0, 0, 0] == range(played.length)).all()
            assert simulator.normalised_score(10.0) is None
            with pytest.raises(DataError, match="its last step was done; call reset"):
                simulator.step(0)
    assert [game.seed for game in games] == list(range(8)) and all(game.closed for game in games)
    assert {game.task for game in games} == {"CoinrunHard-v0"}
    with pytest.raises(DataError, match="no episode of CoinRun runs"):
        simulator.frames()


def test_prepare_keeps_the_action_that_leads_to_each_frame(tmp_path, monkeypatch):
    """In other processes, which find a package envpool."""
    (tmp_path / "envpool").mkdir()
    content = "from tests.data_pipelines.simulators.coinrun_stand_in import *\n__version__ = '1'\n"
    (tmp_path / "envpool" / "__init__.py").write_text(content)
    (tmp_path / "envpool" / "procgen.py").write_text("ProcgenEnvSpec = object\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("envpool", "envpool.procgen"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    options = recipe_options(
        "coinrun", "--levels=easy,hard", "--behaviour=random", "--transitions=160", "--codec=raw"
    )
    assert options["plan"] == {"coinrun_easy_random": 80, "coinrun_hard_random": 80}
    assert prepare("coinrun", tmp_path / "data", options, engine=Engine(workers=1))
    info = open_dataset(tmp_path / "data")
    assert info.manifest["sources"] == {"simulator": "envpool", "version": "1"}
    spec = info.datasets["coinrun_hard_random"]
    assert spec.action.names == ACTIONS and len(ACTIONS) == 15
    assert spec.image_shape == (64, 64, 3) and spec.fps == 15 and spec.has_reward
    assert spec.details["environment"] == "CoinrunHard-v0"
    for batch in ordered_batches(
        tmp_path / "data", ("coinrun_hard_random",), "train", fields=("action",)
    ):
        moved = (np.argmax(batch["frames"][:, :, 1, :, 0] == 255, -1)) % 64
        np.testing.assert_array_equal(
            moved[:, 1] - moved[:, 0], (batch["action"].reshape(len(moved)) == RIGHT)
        )


def test_what_is_asked_for_is_checked_before_anything_is_played():
    plan = recipe_options("coinrun")["plan"]
    assert list(plan) == ["coinrun_hard_random", "coinrun_hard_sticky"]
    assert get_recipe("coinrun").simulator is CoinRun
    for flag, told in {
        "--levels=medium": "coinrun_medium_random.*coinrun_easy, coinrun_hard",
        "--behaviour=expert": "no scripted expert; behaviours without one: random, sticky",
        "--levels=easy,easy": "--levels=easy,easy: give each once",
    }.items():
        with pytest.raises(DataError, match=told):
            recipe_options("coinrun", flag)


def test_a_missing_package_and_missing_libraries_name_the_way_to_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    for call in (CoinRun.sources, lambda: CoinRun().reset(0, HARD)):
        with pytest.raises(DataError, match=r"need envpool.*`pip install 'flexlam_jax\[coinrun\]'"):
            call()
    coinrun_stand_in.install(monkeypatch, procgen={})
    with pytest.raises(DataError, match="`apt-get install libqt5core5a libqt5gui5`"):
        CoinRun.sources()
