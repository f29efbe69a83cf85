"""LIBERO: the same truth out of HDF5, RLDS and LeRobot files, and what is refused.

Tests over `files` run on generated files in the published layout and, where a folder of recorded
demonstrations lies beside the checkout, on those too.
"""

import json
import os
import pathlib
import shutil

import h5py
import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.readers.libero import alignment, language, recipe
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers import robot_files as rf
from tests.data_pipelines.readers.libero_checks import check_pairs, options, recordings

RECORDED = sorted((pathlib.Path(__file__).parents[4] / "shared" / "libero").glob("demos/*/*.hdf5"))
AGENT, WRIST = "libero_goal_agentview", "libero_goal_eye_in_hand"


@pytest.fixture(scope="module")
def goal(tmp_path_factory):
    """Published layout: no attribute, observations after the action; 11 demos."""
    root = tmp_path_factory.mktemp("libero")
    rf.write_libero(root / "libero_goal" / "open_the_middle_drawer_demo.hdf5", demos=11, rows=6)
    return root


# --- alignment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("attribute", [True, False])
def test_action_leads_from_picture_to_picture(tmp_path, follows, attribute):
    when = ("after" if follows else "before") if attribute else None
    rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 2, 9, follows=follows, obs_when=when)
    plan = recipe.plan(options(tmp_path))
    decided = "attribute obs_when" if attribute else "simulator states"
    assert plan.sources["decided_by"] == {decided: 1}
    assert plan.sources["alignment_check"] == {"agrees": 1}
    for seed, recording in enumerate(recordings(tmp_path)):
        instants = check_pairs(recording, AGENT, seed)
        assert instants[0] == (1 if follows else 0) and len(instants) == 9 + seed
        check_pairs(recording, WRIST, seed + 3)
        # robot_states are observed with the pictures
        np.testing.assert_allclose(recording.state[:, 0], instants, atol=1e-6)
        assert recording.metadata["observation_after_action"] is follows
        # the last action of a file with observations before it leads to no picture
        assert recording.reward.sum() == (1 if follows else 0)
        assert recording.episode_return == 1


def test_option_overrules_and_contradiction_is_reported(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1, 9, follows=True)
    chosen = options(tmp_path, "--observation-after-action=no")
    with pytest.warns(UserWarning, match="contradict"):
        plan = recipe.plan(chosen)
    assert plan.sources["decided_by"] == {"option": 1}
    assert plan.sources["contradicts"] == ["libero_goal/a_demo.hdf5"]
    (recording,) = recipe.read(plan.items[0], chosen)
    assert recording.metadata["alignment_check"] == "contradicts"
    assert recording.action[0, 0] == np.float32(rf.action_value(0))  # one too early, as asked
    with h5py.File(file, "a") as opened:
        opened["data"].attrs["obs_when"] = "before"  # a file that is wrong about itself
    with pytest.warns(UserWarning, match="contradict"):
        plan = recipe.plan(options(tmp_path))
    assert plan.sources["decided_by"] == {"attribute obs_when": 1}
    assert plan.sources["alignment_check"] == {"contradicts": 1}


def test_published_convention_where_nothing_tells(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1, 9, follows=False)
    with h5py.File(file, "a") as opened:
        del opened["data/demo_0/states"]
    plan = recipe.plan(options(tmp_path))
    assert plan.sources["decided_by"] == {"published convention": 1}
    assert plan.sources["alignment_check"] == {"unclear": 1}
    assert plan.items[0].payload["observation_after_action"] is True


@pytest.fixture(
    scope="module", params=["generated", *RECORDED], ids=lambda p: getattr(p, "stem", p)
)
def demo_file(request, tmp_path_factory):
    """A file whose observations are before the action of their row, and says so."""
    if request.param != "generated":
        return request.param
    path = tmp_path_factory.mktemp("one") / "libero_spatial" / "a_demo.hdf5"
    return rf.write_libero(path, 2, 12, follows=False, obs_when="before")


def test_states_tell_the_alignment(demo_file):
    with h5py.File(demo_file) as file:
        assert file["data"].attrs["obs_when"] == "before"
        demos = [(demo["states"][:], demo["obs/joint_states"][:]) for demo in file["data"].values()]
    for states, joints in demos:
        assert alignment.observation_follows(states, joints) is False
        # the same demo with the observation of the row's end
        assert alignment.observation_follows(states[:-1], joints[1:]) is True
        assert alignment.observation_follows(states, np.repeat(joints[:1], len(joints), 0)) is None
        assert alignment.observation_follows(states[:2], joints[:2]) is None
        noise = np.random.default_rng(0).normal(size=joints.shape)
        assert alignment.observation_follows(states, noise) is None


# --- what is stored ----------------------------------------------------------------------------


def test_demos_come_in_numeric_order(goal):
    names = [item.name.split(":")[1] for item in recipe.plan(options(goal)).items]
    assert names == [f"demo_{i}" for i in range(11)]


def test_specs_and_metadata(goal):
    plan = recipe.plan(options(goal))
    agent, wrist = plan.specs
    assert (agent.name, wrist.name) == (AGENT, WRIST)
    assert agent.recording == wrist.recording == "libero_goal"
    assert (agent.camera, wrist.camera) == ("agentview", "eye_in_hand")
    assert agent.action.names == ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    assert (agent.action.low, agent.action.high) == (-1, 1)
    assert agent.state_names[:3] == ("gripper_left", "gripper_right", "ee_x")
    assert agent.fps == 20 and agent.details["orientation"] == "upright"
    metadata = recordings(goal)[0].metadata
    assert metadata["language"] == "open the middle drawer"
    assert metadata["language_bddl"] == "open the middle layer of the drawer"
    assert metadata["suite"] == "libero_goal" and metadata["num_samples"] == 6
    json.dumps(metadata)


def test_one_camera_and_other_states(goal):
    (recording, *_) = recordings(goal, "--cameras=eye_in_hand", "--state=ee_gripper")
    assert list(recording.frames) == ["libero_goal"]
    check_pairs(recording, "libero_goal", 3)
    np.testing.assert_allclose(recording.state[0], [1] * 6 + [2] * 2)
    (spec,) = recipe.plan(options(goal, "--cameras=agentview", "--state=none")).specs
    assert spec.recording == "" and not spec.state_names and spec.camera == "agentview"
    assert recordings(goal, "--state=none")[0].state is None
    joints = recordings(goal, "--state=joint_states")[0].state
    np.testing.assert_allclose(joints[0], 0.1 * np.arange(1, 8), atol=1e-6)
    with pytest.raises(DataError, match="--cameras"):
        options(goal, "--cameras=front")


def test_orientation(goal, tmp_path):
    stored = next(iter(recordings(goal, "--orientation=as_stored")[0].frames[AGENT]))
    right = next(iter(recordings(goal)[0].frames[AGENT]))
    assert rf.is_upright(right)
    np.testing.assert_array_equal(stored, right[::-1])  # rows only: blue stays on the left
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    with h5py.File(file, "a") as opened:
        opened["data"].attrs["macros_image_convention"] = "opencv"
        images = opened["data/demo_0/obs/agentview_rgb"]
        images[:] = images[:][:, ::-1]
    assert rf.is_upright(next(iter(recordings(tmp_path)[0].frames[AGENT])))


def test_files_directly_in_the_source(goal, tmp_path):
    shutil.copy(next(goal.rglob("*.hdf5")), tmp_path / "open_the_middle_drawer_demo.hdf5")
    plan = recipe.plan(options(tmp_path, "--cameras=agentview"))
    assert plan.specs[0].name == "libero_goal"  # from the task definition's path
    with h5py.File(tmp_path / "open_the_middle_drawer_demo.hdf5", "a") as file:
        del file["data"].attrs["bddl_file_name"]  # as files of other scripts
        del file["data"].attrs["problem_info"]
    os.rename(tmp_path, tmp_path.parent / "LIBERO-90")
    moved = tmp_path.parent / "LIBERO-90"
    assert recipe.plan(options(moved)).specs[0].name == "libero_90_agentview"
    assert recordings(moved)[0].metadata["language_bddl"] == ""


@pytest.mark.parametrize(
    "name, expected",
    [
        ("open_the_middle_drawer_of_the_cabinet_demo", "open the middle drawer of the cabinet"),
        ("KITCHEN_SCENE3_turn_on_the_stove", "turn on the stove"),
        ("KITCHEN_SCENE10_close_the_top_drawer_demo", "close the top drawer"),
        ("LIVING_ROOM_SCENE2_pick_up_the_milk", "pick up the milk"),
    ],
)
def test_language_of_the_file_name(name, expected):
    assert language.language_of_file_name(name) == expected


@pytest.mark.parametrize(
    "text", ["turn on it", ["turn", "on", "it"], list("turn on it"), '"turn on it"']
)
def test_language_of_the_task_definition(text):
    info = json.dumps({"language_instruction": text})
    assert language.language_of_bddl({"problem_info": info}) == "turn on it"


def test_language_without_problem_info():
    content = "(define (problem X)\n (:domain robosuite)\n (:language Turn on it)\n (:regions))"
    assert language.language_of_bddl({"bddl_file_content": content}) == "Turn on it"
    assert language.language_of_bddl({"problem_info": "{"}) == ""


def test_rows_of_the_file(demo_file):
    """Bottom row of the stored picture first; actions as stored, but the last."""
    with h5py.File(demo_file) as opened:
        size = opened["data/demo_0/obs/agentview_rgb"].shape[1]
        chosen = options(demo_file.parents[1], f"--size={size}", "--cameras=agentview")
        items = [item for item in recipe.plan(chosen).items if demo_file.name in item.name]
        assert len(items) == 2
        for item in items:
            demo = opened["data"][item.payload["demo"]]
            (recording,) = recipe.read(item, chosen)
            frames = np.stack(list(recording.frames["libero_spatial"]))
            np.testing.assert_array_equal(frames, demo["obs/agentview_rgb"][:][:, ::-1])
            np.testing.assert_array_equal(recording.action, demo["actions"][:-1].astype(np.float32))
            assert recording.metadata["language_bddl"] != recording.metadata["language"]
            assert recording.metadata["alignment_check"] == "agrees"


# --- end to end --------------------------------------------------------------------------------


def test_prepared_folder(tmp_path):
    file = rf.write_libero(tmp_path / "in/libero_goal/open_it_demo.hdf5", demos=5, rows=14)
    with h5py.File(file, "a") as opened:
        opened["data/demo_1/actions"][3, 2] = 1.5
    chosen = options(tmp_path / "in", "--max-failures=0.3")
    out = tmp_path / "out"
    assert prepare("libero", out, chosen)
    assert validate(out)["episodes"] == 8
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["skipped"] == {"action out of range": 1}
    assert manifest["sources"]["decided_by"] == {"simulator states": 1}
    seen = 0
    for split in ("train", "validation", "test"):
        for batch in ordered_batches(out, (AGENT,), split, 4, fields=("action",)):
            for row in range(len(batch["frames"])):
                value = float(np.asarray(batch["action"])[row].reshape(-1)[0])
                # demos differ by at most four grey levels, instants by twelve
                instant = rf.instant_of(np.asarray(batch["frames"])[row, 0], 2)
                assert value == pytest.approx(rf.action_value(instant), abs=1e-6)
                seen += 1
    assert seen == 13 + 15 + 16 + 17  # demo_1 had 15 rows
