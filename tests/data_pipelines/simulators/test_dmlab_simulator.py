"""DeepMind Lab as a simulator: what reaches the engine, what comes back, what is refused."""

import sys

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers.dmlab.actions import TABLES
from data_pipelines.registry import get_recipe, recipe_options
from data_pipelines.simulators.behaviours import Random
from data_pipelines.simulators.dmlab.levels import SUITE, TRAINING
from data_pipelines.simulators.dmlab.simulator import DmLab, DmLab9
from data_pipelines.simulators.pool import SimulatorPool
from data_pipelines.simulators.rollout import rollout
from tests.data_pipelines.simulators import dmlab_stand_in
from tests.data_pipelines.simulators.dmlab_stand_in import LENGTH, Lab

LEVEL = "lasertag_one_opponent_large"
# The published action sets, in the order of their numbers.
FIFTEEN = [
    (0, 0, 0, 1, 0, 0, 0),
    (0, 0, 0, -1, 0, 0, 0),
    (0, 0, -1, 0, 0, 0, 0),
    (0, 0, 1, 0, 0, 0, 0),
    (-10, 0, 0, 0, 0, 0, 0),
    (10, 0, 0, 0, 0, 0, 0),
    (-60, 0, 0, 0, 0, 0, 0),
    (60, 0, 0, 0, 0, 0, 0),
    (0, 10, 0, 0, 0, 0, 0),
    (0, -10, 0, 0, 0, 0, 0),
    (-10, 0, 0, 1, 0, 0, 0),
    (10, 0, 0, 1, 0, 0, 0),
    (-60, 0, 0, 1, 0, 0, 0),
    (60, 0, 0, 1, 0, 0, 0),
    (0, 0, 0, 0, 1, 0, 0),
]
NINE = [
    (0, 0, 0, 1, 0, 0, 0),
    (0, 0, 0, -1, 0, 0, 0),
    (0, 0, -1, 0, 0, 0, 0),
    (0, 0, 1, 0, 0, 0, 0),
    (-20, 0, 0, 0, 0, 0, 0),
    (20, 0, 0, 0, 0, 0, 0),
    (-20, 0, 0, 1, 0, 0, 0),
    (20, 0, 0, 1, 0, 0, 0),
    (0, 0, 0, 0, 1, 0, 0),
]


class AgainstDreamer(DmLab):
    """As a user's own module chooses what scores 1"""

    reference = "dreamerv3"


@pytest.fixture
def engine(monkeypatch):
    """A package deepmind_lab; the engines that it made."""
    monkeypatch.setattr(Lab, "made", [])
    dmlab_stand_in.install(monkeypatch, "deepmind_lab", Lab=Lab)
    return Lab.made


@pytest.mark.parametrize("kind, vectors", [(DmLab, FIFTEEN), (DmLab9, NINE)])
def test_every_action_reaches_the_engine_as_published_and_is_held_for_four_frames(
    engine, kind, vectors
):
    assert len(kind.tasks()[LEVEL].action.names) == len(vectors)
    with kind(size=16) as simulator:
        for action, vector in enumerate(vectors):
            simulator.reset(0, LEVEL)
            assert simulator.step(np.int32(action)) == (4.0, False)
            assert engine[0].actions[-1] == vector
    assert len(engine) == 1 and engine[0].closed


def test_the_engine_is_asked_for_square_pictures_of_the_evaluated_level(engine):
    with DmLab(size=16) as simulator:
        simulator.reset(0, LEVEL)
        frame = simulator.frames()["player"]
    assert frame.dtype == np.uint8 and frame.shape == (16, 16, 3)
    assert engine[0].level == f"contributed/dmlab30/{LEVEL}"
    assert engine[0].config == {
        "width": "16",
        "height": "16",
        "logLevel": "WARN",
        "allowHoldOutLevels": "true",
        "mixerSeed": str(0x600D5EED),
    }


def test_an_episode_is_a_function_of_seed_and_level(engine):
    def pictures(simulator, seed, level=LEVEL):
        simulator.reset(seed, level)
        episode = rollout(simulator, Random(simulator, np.random.default_rng(seed)))
        return episode.frames["player"].tobytes()

    with DmLab(size=16) as simulator:
        first = pictures(simulator, 2**32 - 1)  # more than a C int holds
        assert pictures(simulator, 4) != first
        assert pictures(simulator, 4, "rooms_watermaze") != pictures(simulator, 4)
        assert pictures(simulator, 2**32 - 1) == first
    assert engine[0].resets[0] == (0, 2**31 - 1)
    assert [lab.level.rpartition("/")[2] for lab in engine] == [LEVEL, "rooms_watermaze", LEVEL]
    assert all(lab.closed for lab in engine)


def test_the_end_is_in_the_return_and_shows_nothing(engine):
    with DmLab(size=16) as simulator:
        with pytest.raises(DataError, match="no episode of DeepMind Lab runs"):
            simulator.frames()
        simulator.reset(0, LEVEL)
        episode = rollout(simulator, lambda frames: 0)
        assert episode.done and episode.episode_return == LENGTH
        assert episode.length == len(episode.action) + 1 == 8  # steps of 4 frames, the last of 2
        for call in (simulator.frames, lambda: simulator.step(0)):
            with pytest.raises(DataError, match="call reset"):
                call()
        simulator.reset(1, LEVEL)
        assert simulator.step(0).reward == 4 and simulator.state().shape == (0,)


def test_levels_of_language_tell_the_present_instruction(engine):
    with DmLab(size=16) as simulator:
        simulator.reset(0, "language_execute_random_task")
        assert simulator.language() == "find object 0"
        for _ in range(4):
            simulator.step(0)
        assert simulator.language() == "find object 1"
        episode = rollout(simulator, lambda frames: 0)
        assert episode.metadata["language"] == simulator.language() == "find object 2"
        simulator.reset(0, LEVEL)
        assert simulator.language() == "" and simulator.frames()
    assert [lab.observed for lab in engine] == [["RGB_INTERLEAVED", "INSTR"], ["RGB_INTERLEAVED"]]


def test_scores_are_those_of_the_reference():
    """(return - random) / (human - random), by the table of IMPALA's code."""
    assert len(SUITE) == 30 and list(DmLab.tasks()) == [*SUITE, *TRAINING]
    spec = DmLab.tasks()[LEVEL]
    human = spec.normalised_score(12.5)
    assert human == pytest.approx(100 * (12.5 + 0.083) / (18.6 + 0.083) / 100)
    assert spec.normalised_score(-0.083) == 0 and spec.normalised_score(18.6) == 1
    for train, test in TRAINING.items():
        assert DmLab.tasks()[train].expert_return == DmLab.tasks()[test].expert_return
    other = AgainstDreamer.tasks()["rooms_watermaze"]
    assert other.normalised_score(24.4) == 1 and other.details["reference"] == "dreamerv3"
    assert spec.details["returns"] == {"random": -0.083, "human": 18.6, "dreamerv3": -0.04}
    assert (spec.fps, spec.frame_skip, spec.max_steps) == (15.0, 4, 0)
    for name, task in DmLab.tasks().items():
        assert task.name == name and task.expert_return > task.random_return


def test_unknown_levels_actions_and_references():
    with pytest.raises(DataError, match="DmLab has no task 'seekavoid'; tasks: .*rooms_watermaze"):
        DmLab().reset(0, "seekavoid")
    odd = {"action_table": "popart"}, {"reference": "gato"}
    for attributes, known in zip(odd, ("impala, dreamerv3", "human, dreamerv3"), strict=True):
        (name,) = attributes.values()
        with pytest.raises(DataError, match=f"DMLab has no .*'{name}'.*{known}"):
            type("Odd", (DmLab,), attributes)().reset(0, LEVEL)


def test_missing_engine_names_the_way_to_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepmind_lab", None)
    monkeypatch.delitem(sys.modules, "dmlab_gym", raising=False)
    for call in (DmLab.sources, lambda: DmLab().reset(0, LEVEL)):
        with pytest.raises(DataError, match="`pip install dmlab-gym`, then .*with Bazel"):
            call()
    dmlab_stand_in.install(monkeypatch, "dmlab_gym")  # installed, but nothing built
    with pytest.raises(DataError, match="dmlab_gym is there, .*run `dmlab-gym build`"):
        DmLab.sources()


def test_a_level_that_does_not_start_tells_the_engines_words(engine, monkeypatch):
    level = "psychlab_continuous_recognition"
    monkeypatch.delenv("DMLAB_DATASET_PATH", raising=False)
    with DmLab(size=16) as simulator:
        with pytest.raises(DataError, match=f"start {level} with seed 7: .*DMLAB_DATASET_PATH"):
            simulator.reset(7, level)
    monkeypatch.setenv("DMLAB_DATASET_PATH", "/photographs")
    with DmLab(size=16) as simulator:
        simulator.reset(7, level)
        simulator.reset(7, LEVEL)
    monkeypatch.setenv("DMLAB_DATASET_PATH", "/nowhere")
    with pytest.raises(DataError, match=f"start {level}.*Failed to init environment"):
        DmLab(size=16).reset(7, level)
    paths = [lab.config.get("datasetPath") for lab in engine]
    assert paths == [None, "/photographs", None, "/nowhere"]


def test_there_is_no_expert(engine):
    with pytest.raises(DataError, match="DmLab has no scripted expert.*random.*sticky"):
        recipe_options("dmlab_sim", f"--plan={LEVEL}_expert=100")
    with DmLab(size=16) as simulator:
        simulator.reset(0, LEVEL)
        with pytest.raises(DataError, match="no scripted expert; use random or sticky"):
            simulator.expert()


@pytest.mark.parametrize("name, table", [("dmlab_sim", "dreamerv3"), ("dmlab_sim9", "impala")])
def test_recipes_by_one_word(name, table):
    assert get_recipe(name).simulator.tasks()[LEVEL].action.names == TABLES[table]
    plan = recipe_options(name)["plan"]
    assert f"{LEVEL}_sticky" in plan and not any("_test_" in entry for entry in plan)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A file deepmind_lab.py, which other processes find."""
    content = "from tests.data_pipelines.simulators.dmlab_stand_in import *\n"
    (tmp_path / "deepmind_lab.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "deepmind_lab", raising=False)


def test_prepare_plays_levels_in_other_processes(tmp_path, package):
    plan = "--plan=lasertag_one_opponent_large_random=21,language_execute_random_task_random=21"
    options = recipe_options("dmlab_sim9", plan, "--size=16", "--codec=raw")
    assert prepare("dmlab_sim9", tmp_path / "data", options, engine=Engine(workers=1))
    info = open_dataset(tmp_path / "data")
    assert info.manifest["sources"] == {"simulator": "deepmind_lab", "version": "unknown"}
    spec = info.datasets[f"{LEVEL}_random"]
    assert spec.action.names == TABLES["impala"] and spec.fps == 15 and spec.frame_skip == 4
    assert spec.details["engine_actions"]["look_left_20"] == [-20, 0, 0, 0, 0, 0, 0]
    assert info.manifest["language"]["recordings"] == 3


def test_every_slot_of_a_pool_has_a_process_of_its_own(package):
    with SimulatorPool(DmLab, slots=2, workers=1, size=16) as pool:
        begun = pool.advance({0: (LEVEL, 1), 1: ("rooms_watermaze", 1)}, {})
        assert not any(moment.lost for moment in begun.values())
        assert (pool.frames[0] != pool.frames[1]).any()
        assert [moment.reward for moment in pool.advance({}, {0: 0, 1: 14}).values()] == [4, 4]
