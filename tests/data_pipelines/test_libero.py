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

from data_pipelines.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.libero import alignment, language, recipe
from data_pipelines.loader import ordered_batches
from data_pipelines.recordings import ItemError
from data_pipelines.validation import validate
from tests.data_pipelines import robot_files as rf

RECORDED = sorted((pathlib.Path(__file__).parents[3] / "shared" / "libero").glob("demos/*/*.hdf5"))
AGENT, WRIST = "libero_goal_agentview", "libero_goal_eye_in_hand"


def options(source, *arguments):
    return rf.parsed(recipe, f"--source={source}", f"--size={rf.SIZE}", *arguments)


def recordings(source, *arguments):
    chosen = options(source, *arguments)
    return [found for item in recipe.plan(chosen).items for found in recipe.read(item, chosen)]


def check_pairs(recording, name, seed=0):
    """Every action leads from its picture to the next one; pictures are upright."""
    pictures = list(recording.frames[name])
    instants = [rf.instant_of(picture, seed) for picture in pictures]
    assert instants == list(range(instants[0], instants[0] + len(pictures)))
    assert all(rf.is_upright(picture) for picture in pictures)
    expected = [rf.action_value(instant) for instant in instants[:-1]]
    np.testing.assert_allclose(recording.action[:, 0], expected, atol=1e-6)
    assert recording.action.dtype == np.float32
    return instants


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


@pytest.fixture(scope="module", params=["generated", *RECORDED], ids=lambda p: getattr(p, "stem", p))
def arrays(request, tmp_path_factory):
    """(states, joints) of demos whose observations are before the action of their row."""
    path = request.param
    if path == "generated":
        path = tmp_path_factory.mktemp("one") / "libero_goal" / "a_demo.hdf5"
        rf.write_libero(path, 2, 12, follows=False, obs_when="before")
    with h5py.File(path) as file:
        assert file["data"].attrs["obs_when"] == "before"
        return [(demo["states"][:], demo["obs/joint_states"][:]) for demo in file["data"].values()]


def test_states_tell_the_alignment(arrays):
    for states, joints in arrays:
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


@pytest.mark.parametrize("text", ["turn on it", ["turn", "on", "it"], list("turn on it"), '"turn on it"'])
def test_language_of_the_task_definition(text):
    info = json.dumps({"language_instruction": text})
    assert language.language_of_bddl({"problem_info": info}) == "turn on it"


def test_language_without_problem_info():
    content = "(define (problem X)\n (:domain robosuite)\n (:language Turn on it)\n (:regions))"
    assert language.language_of_bddl({"bddl_file_content": content}) == "Turn on it"
    assert language.language_of_bddl({"problem_info": "{"}) == ""


@pytest.mark.parametrize("file", RECORDED, ids=lambda path: path.stem)
def test_recorded_demos(file):
    """Recorded by a simulator: row 0 of the picture is its last stored row; actions as stored."""
    chosen = options(file.parents[1], "--size=128", "--cameras=agentview")
    items = [item for item in recipe.plan(chosen).items if file.name in item.name]
    with h5py.File(file) as opened:
        for item in items:
            demo = opened["data"][item.payload["demo"]]
            (recording,) = recipe.read(item, chosen)
            frames = np.stack(list(recording.frames["libero_spatial"]))
            np.testing.assert_array_equal(frames, demo["obs/agentview_rgb"][:][:, ::-1])
            np.testing.assert_array_equal(recording.action, demo["actions"][:-1].astype(np.float32))
            assert recording.metadata["language_bddl"] != recording.metadata["language"]
            assert recording.metadata["alignment_check"] == "agrees"


# --- bad input ---------------------------------------------------------------------------------


def change(file, what):
    """Spoils demo_1 of an HDF5 file."""
    with h5py.File(file, "a") as opened:
        demo = opened["data/demo_1"]
        if what == "no images":
            del demo["obs/agentview_rgb"]
        elif what == "grey images":
            del demo["obs/agentview_rgb"]
            demo["obs/agentview_rgb"] = np.zeros((13, 8, 8), np.uint8)
        elif what == "action out of range":
            demo["actions"][3, 2] = 1.5
        elif what == "action is NaN":
            demo["actions"][3, 2] = np.nan
        elif what == "fewer actions":
            values = demo["actions"][:-2]
            del demo["actions"]
            demo["actions"] = values
        elif what == "no states":
            del demo["robot_states"]


@pytest.mark.parametrize(
    "what, reason",
    [
        ("no images", "no images"),
        ("grey images", "no images"),
        ("action out of range", "action out of range"),
        ("action is NaN", "action out of range"),
        ("fewer actions", "wrong shape"),
        ("no states", "missing labels"),
    ],
)
def test_bad_demo_alone_is_refused(tmp_path, what, reason):
    change(rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 3, 12), what)
    chosen = options(tmp_path)
    good, bad, other = recipe.plan(chosen).items
    with pytest.raises(ItemError) as caught:
        list(recipe.read(bad, chosen))
    assert caught.value.reason == reason
    assert len(list(recipe.read(good, chosen))) == len(list(recipe.read(other, chosen))) == 1


def test_truncated_file_is_skipped(tmp_path):
    rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    cut = rf.write_libero(tmp_path / "libero_goal/b_demo.hdf5", 1)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "libero_goal/c_demo.hdf5").write_bytes(b"no HDF5")
    plan = recipe.plan(options(tmp_path))
    assert len(plan.items) == 1
    assert [(entry.name, entry.reason) for entry in plan.skipped] == [
        ("libero_goal/b_demo.hdf5", "unreadable"),
        ("libero_goal/c_demo.hdf5", "unreadable"),
    ]


def point_outside(file, kind, secret):
    with h5py.File(file, "a") as opened:
        demo = opened["data/demo_0"]
        if kind == "link in the demo":
            del demo["actions"]
            demo["actions"] = h5py.ExternalLink(str(secret), "/data/demo_0/actions")
        elif kind == "link elsewhere":
            opened["other"] = h5py.ExternalLink(str(secret), "/")
        elif kind == "raw file":
            del demo["actions"]
            demo.create_dataset(
                "actions", (12, 7), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
            )
        elif kind == "virtual":
            layout = h5py.VirtualLayout((12, 7), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "data/demo_0/actions", (12, 7))
            del demo["actions"]
            demo.create_virtual_dataset("actions", layout)


@pytest.mark.parametrize("kind", ["link in the demo", "link elsewhere", "raw file", "virtual"])
def test_files_that_name_other_files(tmp_path, kind):
    secret = rf.write_libero(tmp_path / "elsewhere/secret.hdf5", 1)
    rf.write_libero(tmp_path / "in/libero_goal/a_demo.hdf5", 1)
    point_outside(rf.write_libero(tmp_path / "in/libero_goal/b_demo.hdf5", 1), kind, secret)
    (entry,) = recipe.plan(options(tmp_path / "in")).skipped
    assert entry.reason == "unsafe path" and entry.name == "libero_goal/b_demo.hdf5"


def test_links_inside_a_file_are_followed(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    with h5py.File(file, "a") as opened:
        opened.move("data/demo_0/actions", "all_actions")
        opened["data/demo_0/actions"] = h5py.SoftLink("/all_actions")
        opened["data/demo_1"] = h5py.SoftLink("/nowhere")
    chosen = options(tmp_path)
    first, dangling = recipe.plan(chosen).items
    assert len(list(recipe.read(first, chosen))) == 1
    with pytest.raises(ItemError):
        list(recipe.read(dangling, chosen))


def test_link_out_of_the_source(tmp_path):
    secret = rf.write_libero(tmp_path / "elsewhere/secret.hdf5", 1)
    rf.write_libero(tmp_path / "in/libero_goal/a_demo.hdf5", 1)
    (tmp_path / "in/libero_goal/b_demo.hdf5").symlink_to(secret)
    (entry,) = recipe.plan(options(tmp_path / "in")).skipped
    assert entry.reason == "unsafe path"


def test_wrong_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        recipe.plan(options(tmp_path / "absent"))
    with pytest.raises(DataError, match="expected <suite>"):
        recipe.plan(options(tmp_path))
    (tmp_path / "a.hdf5").write_bytes(b"")
    with pytest.raises(DataError, match="no demonstration can be used"):
        recipe.plan(options(tmp_path))


# --- LeRobot -----------------------------------------------------------------------------------

FEATURES = ("observation.images.image", "observation.images.image2")


@pytest.mark.parametrize("version, video", [("v3.0", True), ("v3.0", False), ("v2.1", True)])
def test_lerobot_gives_the_same_pictures(tmp_path, version, video):
    root = rf.write_lerobot(tmp_path / "set", [7, 5, 9], FEATURES, version=version, video=video)
    plan = recipe.plan(options(root))
    assert plan.sources["format"] == "lerobot"
    assert [spec.name for spec in plan.specs] == ["libero_agentview", "libero_eye_in_hand"]
    assert plan.specs[0].state_names == tuple(f"observation.state{i}" for i in range(8))
    found = recordings(root)
    for recording, length in zip(found, [7, 5, 9], strict=True):
        assert check_pairs(recording, "libero_agentview") == list(range(length))
        check_pairs(recording, "libero_eye_in_hand", 3)
        np.testing.assert_allclose(recording.state[:, 0], np.arange(length))
        assert recording.metadata["language"] == "open the drawer"
    stored = next(iter(recordings(root, "--orientation=as_stored")[0].frames["libero_agentview"]))
    assert not rf.is_upright(stored) and rf.is_upright(stored[:, ::-1])


def test_lerobot_action_out_of_range(tmp_path):
    def spoil(rows):
        rows[9]["action"][6] = -2.0  # of episode 1
        return rows

    root = rf.write_lerobot(tmp_path / "set", [7, 5], FEATURES, video=False, changes=spoil)
    chosen = options(root)
    first, second = recipe.plan(chosen).items
    assert len(list(recipe.read(first, chosen))) == 1
    with pytest.raises(ItemError) as caught:
        list(recipe.read(second, chosen))
    assert caught.value.reason == "action out of range"


def test_lerobot_of_another_robot_is_refused(tmp_path):
    root = rf.write_lerobot(tmp_path / "set", [5], ("observation.images.top",), video=False)
    with pytest.raises(DataError, match="no camera agentview"):
        recipe.plan(options(root))
    with pytest.raises(DataError, match="--state=robot_states"):
        recipe.plan(options(root, "--state=robot_states"))


# --- RLDS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rlds(tmp_path_factory):
    """Two suites; the second has an episode with an action out of range and one cut camera."""
    root = tmp_path_factory.mktemp("rlds")
    rf.write_rlds(root, "libero_goal_no_noops", [rf.rlds_episode(n) for n in (6, 8)])
    wild = rf.rlds_episode(6, steps__action=np.full(42, 1.5, np.float32))
    short = rf.rlds_episode(6, steps__observation__image=[rf._jpeg(rf.upright(0))] * 5)
    rf.write_rlds(root, "libero_10_no_noops", [wild, rf.rlds_episode(9), short])
    return root


def test_rlds_gives_the_same_pictures(rlds):
    plan = recipe.plan(options(rlds))
    assert plan.sources["format"] == "rlds"
    assert plan.sources["versions"] == {
        "libero_10_no_noops": "1.0.0",
        "libero_goal_no_noops": "1.0.0",
    }
    found = [entry for entry in recordings(rlds) if "goal" in entry.name]
    for recording, length in zip(found, (6, 8), strict=True):
        instants = check_pairs(recording, "libero_goal_no_noops_agentview")
        assert instants == list(range(length))
        check_pairs(recording, "libero_goal_no_noops_eye_in_hand", 3)
        np.testing.assert_allclose(recording.state[:, 0], instants)
        assert recording.state.shape == (length, 8) and recording.split is None
        assert recording.reward.shape == (length - 1,) and recording.episode_return == 1
        assert recording.metadata["language"] == "open the drawer"
        assert recording.metadata["task"] == "open_the_drawer"
    joints = recordings(rlds, "--state=joint_states")[-1].state
    np.testing.assert_allclose(joints[:, 0], 2 * np.arange(8))


def test_rlds_bad_episodes(rlds):
    chosen = options(rlds)
    wild, good, short = recipe.read(recipe.plan(chosen).items[0], chosen)
    assert wild.reason == "action out of range"
    assert check_pairs(good, "libero_10_no_noops_agentview") == list(range(9))
    with pytest.raises(ItemError, match="5 pictures, 6 actions"):
        list(short.frames["libero_10_no_noops_agentview"])


def test_rlds_without_what_is_needed(rlds, tmp_path):
    folder = shutil.copytree(rlds, tmp_path / "set") / "libero_10_no_noops" / "1.0.0"
    features = (folder / "features.json").read_text()
    (folder / "features.json").write_text(features.replace('"wrist_image"', '"hand"'))
    with pytest.raises(DataError, match="no observation/wrist_image"):
        recipe.plan(options(tmp_path / "set"))
    assert recipe.plan(options(tmp_path / "set", "--cameras=agentview")).items


# --- end to end --------------------------------------------------------------------------------


def test_prepared_folder(tmp_path):
    file = rf.write_libero(tmp_path / "in/libero_goal/open_it_demo.hdf5", demos=5, rows=14)
    change(file, "action out of range")
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
