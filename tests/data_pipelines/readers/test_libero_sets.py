"""LIBERO as LeRobot and RLDS sets: the same pictures and actions as out of the HDF5 files."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.libero import recipe
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import lerobot_checks as lc
from tests.data_pipelines.readers import robot_files as rf
from tests.data_pipelines.readers import robot_rlds
from tests.data_pipelines.readers.libero_checks import check_pairs, options, recordings

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


def test_lerobot_language_by_number(tmp_path):
    """The published set: no texts in the table of episodes."""
    root = rf.write_lerobot(tmp_path / "set", [7, 5], FEATURES, video=False)
    lc.drop_column(lc.episode_table(root), "tasks")
    assert recipe.plan(options(root)).sources["episodes_without_text"] == 2
    lc.change_info(root, lambda info: info["features"].update(task_index={"dtype": "int64"}))
    table = pa.table({"task_index": [0], "__index_level_0__": ["close the drawer"]})
    pa.parquet.write_table(table, root / "meta/tasks.parquet")
    assert recipe.plan(options(root)).sources["episodes_without_text"] == 0
    for recording in recordings(root):
        assert recording.metadata["language"] == "close the drawer"
        assert recording.metadata["task"] == "close_the_drawer"


# --- RLDS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rlds(tmp_path_factory):
    """Two suites; the second has an episode with an action out of range and one cut camera."""
    root = tmp_path_factory.mktemp("rlds")
    robot_rlds.write_rlds(
        root, "libero_goal_no_noops", [robot_rlds.rlds_episode(n) for n in (6, 8)]
    )
    wild = robot_rlds.rlds_episode(6, steps__action=np.full(42, 1.5, np.float32))
    short = robot_rlds.rlds_episode(
        6, steps__observation__image=[robot_rlds.jpeg(rf.upright(0))] * 5
    )
    robot_rlds.write_rlds(root, "libero_10_no_noops", [wild, robot_rlds.rlds_episode(9), short])
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
    with pytest.raises(DataError, match="no observation/wrist_image.*prepare rlds"):
        recipe.plan(options(tmp_path / "set"))
    assert recipe.plan(options(tmp_path / "set", "--cameras=agentview")).items
