"""robomimic's HDF5 layout: any robot, upright pictures, published masks, and what is refused."""

import json

import h5py
import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.robomimic import recipe
from tests.data_pipelines.readers import robot_files as rf

CAMERAS = ("agentview_image", "robot0_eye_in_hand_image")


def write(path, demos=3, rows=8, *, width=5, env="Lift", cameras=CAMERAS, last=False, masks=None):
    """Demo i has rows + i rows; observations before the action of their row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(
            {"env_name": env, "type": 1, "env_kwargs": {"control_freq": 20}}
        )
        for i in range(demos):
            demo, count = data.create_group(f"demo_{i}"), rows + i
            demo.attrs["num_samples"] = count
            demo["actions"] = rf.actions(count, width)
            demo["rewards"] = (np.arange(count) == count - 1).astype(float)
            for group, shift in (("obs", 0), *([("next_obs", 1)] if last else [])):
                for k, name in enumerate(cameras):
                    seed = i + 3 * k
                    pictures = [rf.upright(t + shift, seed) for t in range(count)]
                    demo[f"{group}/{name}"] = np.stack(pictures)
                instants = np.arange(count)[:, None] + shift
                demo[f"{group}/robot0_eef_pos"] = np.tile(instants, (1, 3))
        for name, chosen in (masks or {}).items():
            file[f"mask/{name}"] = np.array(chosen, "S")
    return path


def options(source, *arguments):
    return rf.parsed(recipe, f"--source={source}", f"--size={rf.SIZE}", *arguments)


def recordings(source, *arguments):
    chosen = options(source, *arguments)
    return [found for item in recipe.plan(chosen).items for found in recipe.read(item, chosen)]


@pytest.mark.parametrize("last", [False, True])
def test_actions_lead_from_picture_to_picture(tmp_path, last):
    """With next_obs, the observation after the last action is a frame too."""
    write(tmp_path / "ph/image.hdf5", last=last)
    plan = recipe.plan(options(tmp_path, "--state=robot0_eef_pos"))
    assert [spec.name for spec in plan.specs] == ["lift_agentview", "lift_robot0_eye_in_hand"]
    assert plan.specs[0].fps == 20 and plan.specs[0].action.count == 5
    assert plan.specs[0].state_names == tuple(f"robot0_eef_pos_{i}" for i in range(3))
    for i, recording in enumerate(recordings(tmp_path, "--state=robot0_eef_pos")):
        frames = 8 + i + last
        for name, seed in (("lift_agentview", i), ("lift_robot0_eye_in_hand", i + 3)):
            pictures = list(recording.frames[name])
            assert [rf.instant_of(picture, seed) for picture in pictures] == list(range(frames))
            assert all(rf.is_upright(picture) for picture in pictures)
        expected = [rf.action_value(t) for t in range(frames - 1)]
        np.testing.assert_allclose(recording.action[:, 0], expected, atol=1e-6)
        np.testing.assert_array_equal(recording.state[:, 0], np.arange(frames))
        assert recording.reward.sum() == last and recording.episode_return == 1
        assert recording.metadata["task"] == "Lift"
        json.dumps(recording.metadata)


def test_prepared_with_published_masks(tmp_path):
    names = [f"demo_{i}" for i in range(11)]
    masks = {"train": names[:8], "valid": names[8:], "20_percent": names[:2]}
    write(tmp_path / "in/a.HDF5", demos=11, rows=4, masks=masks)
    (tmp_path / "in/._a.hdf5").write_bytes(b"\0\5\x16\7" + bytes(60))
    chosen = options(tmp_path / "in", "--cameras=agentview", "--max-failures=0")
    plan = recipe.plan(chosen)
    assert [item.payload["demo"] for item in plan.items] == names  # demo_2 before demo_10
    assert [item.payload["split"] for item in plan.items] == ["train"] * 8 + ["validation"] * 3
    assert prepare("robomimic", tmp_path / "out", chosen)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["splits"]["validation"]["episodes"] == 3


def test_one_list_alone_is_no_split(tmp_path):
    write(tmp_path / "a.hdf5", masks={"train": ["demo_0"]})
    assert {item.payload["split"] for item in recipe.plan(options(tmp_path)).items} == {None}
    write(tmp_path / "a.hdf5", masks={"train": ["demo_0"], "valid": ["demo_0"]})
    with pytest.raises(DataError, match="demo_0 is in mask/valid"):
        recipe.plan(options(tmp_path))


def test_one_dataset_per_environment(tmp_path):
    write(tmp_path / "a.hdf5", env="Lift", width=7)
    write(tmp_path / "b.hdf5", env="Two Arm/../Lift", width=14, cameras=("top_image",))
    write(tmp_path / "c.hdf5", env="Lift", width=3)
    plan = recipe.plan(options(tmp_path))
    assert [spec.name for spec in plan.specs][-1] == "two_arm_lift"
    (entry,) = plan.skipped
    assert (entry.name, entry.reason, entry.episodes) == ("c.hdf5", "wrong shape", 3)


def test_upside_down_and_language(tmp_path):
    file = write(tmp_path / "a.hdf5", demos=1)
    with h5py.File(file, "a") as opened:
        opened["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": "open the drawer"})
        pictures = opened[f"data/demo_0/obs/{CAMERAS[0]}"]
        pictures[:] = pictures[:][:, ::-1]
    (recording,) = recordings(tmp_path, "--cameras=agentview_image", "--upside-down")
    assert all(rf.is_upright(picture) for picture in recording.frames["lift"])
    assert recording.metadata["language"] == "open the drawer"


def test_without_what_robomimic_may_leave_out(tmp_path):
    file = write(tmp_path / "stack.hdf5", demos=1)
    with h5py.File(file, "a") as opened:
        del opened["data"].attrs["env_args"]
        del opened["data/demo_0/rewards"]
        del opened["data/demo_0"].attrs["num_samples"]
    (spec, _) = recipe.plan(options(tmp_path)).specs
    assert spec.name == "stack_agentview" and not spec.has_reward and spec.fps == 0
    assert recordings(tmp_path)[0].reward is None


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda demo: demo.attrs.modify("num_samples", 3), "wrong shape"),
        (lambda demo: demo.pop("obs/agentview_image"), "no images"),
        (lambda demo: demo.pop("actions"), "missing labels"),
        (lambda demo: demo.attrs.create("ep_meta", "{"), "unreadable"),
    ],
)
def test_bad_demo_alone_is_refused(tmp_path, change, reason):
    file = write(tmp_path / "a.hdf5")
    with h5py.File(file, "a") as opened:
        change(opened["data/demo_1"])
    chosen = options(tmp_path)
    good, bad, other = recipe.plan(chosen).items
    with pytest.raises(ItemError) as caught:
        list(recipe.read(bad, chosen))
    assert caught.value.reason == reason and "demo_1" in str(caught.value)
    assert len(list(recipe.read(good, chosen))) == len(list(recipe.read(other, chosen))) == 1


def test_refused_in_words(tmp_path):
    file = write(tmp_path / "a.hdf5")
    for arguments, words in (
        (("--cameras=front",), "agentview_image, robot0_eye_in_hand_image"),
        (("--state=gripper",), "data/demo_0/obs/gripper .* There are: agentview_image"),
        (("--action=act",), "There are: actions"),
    ):
        with pytest.raises(DataError, match=words):
            recipe.plan(options(tmp_path, *arguments))
    with h5py.File(file, "a") as opened:
        opened["data"].attrs["bddl_file_name"] = "a.bddl"
    with pytest.raises(DataError, match="prepare libero"):
        recipe.plan(options(tmp_path))
