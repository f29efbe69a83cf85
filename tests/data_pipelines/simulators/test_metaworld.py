"""Meta-World recordings: the three layouts, alignment by value, and what is refused."""

import json
import pickle
import sys

import h5py
import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError
from data_pipelines.simulators.metaworld import recipe, record, simulator
from data_pipelines.simulators.metaworld.simulator import MetaWorld
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers import robot_files as rf
from tests.data_pipelines.simulators import metaworld_stand_in
from tests.data_pipelines.simulators.metaworld_stand_in import World

LEROBOT_VECTORS = (
    ("action", 4),
    ("observation.state", 4),
    ("observation.environment_state", 39),
)


def options(source, *arguments):
    return rf.parsed(recipe, f"--source={source}", f"--size={rf.SIZE}", *arguments)


def recordings(source, *arguments):
    chosen = options(source, *arguments)
    return [found for item in recipe.plan(chosen).items for found in recipe.read(item, chosen)]


def episode(length, seed=0, rows=None):
    """Frames of two cameras, action and reward (rows or length - 1), state (length, 39)."""
    rows = length - 1 if rows is None else rows
    return {
        "corner": np.stack([rf.upright(t, seed) for t in range(length)]),
        "wrist": np.stack([rf.upright(t, seed + 3) for t in range(length)]),
        "action": rf.actions(rows, 4),
        "reward": np.arange(rows, dtype=float),
        "state": np.arange(length)[:, None] + np.arange(39) / 100,
    }


def write_hdf5(path, episodes, **attributes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"task": "door-open-v3", "fps": 80.0} | attributes)
        for number, arrays in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs["success"] = True
            for name, value in arrays.items():
                group[f"frames/{name}" if name in ("corner", "wrist") else name] = value
    return path


def write_npz(path, arrays, **extra):
    names = {"corner": "frames_corner", "wrist": "frames_wrist"}
    values = {names.get(name, name): value for name, value in arrays.items()}
    np.savez_compressed(path, **values, task="door-open-v3", fps=80.0, **extra)
    return path


def check_pairs(recording, name, length, seed=0):
    pictures = list(recording.frames[name])
    assert [rf.instant_of(picture, seed) for picture in pictures] == list(range(length))
    assert all(rf.is_upright(picture) for picture in pictures)
    expected = [rf.action_value(t) for t in range(length - 1)]
    np.testing.assert_allclose(recording.action[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("format", ["hdf5", "npz"])
@pytest.mark.parametrize("rows", [None, 9])
def test_recorded_files(tmp_path, format, rows):
    """With as many actions as frames the last one leads nowhere and is dropped."""
    if format == "hdf5":
        write_hdf5(tmp_path / "door-open-v3.hdf5", [episode(9, rows=rows)] * 2)
    else:
        write_npz(tmp_path / "0.npz", episode(9, rows=rows))
    plan = recipe.plan(options(tmp_path))
    assert plan.sources["format"] == format
    assert [spec.name for spec in plan.specs] == ["metaworld_corner", "metaworld_wrist"]
    spec = plan.specs[0]
    assert spec.recording == "metaworld" and spec.fps == 80
    assert spec.action.names == ("x", "y", "z", "gripper") and spec.has_reward
    assert len(spec.state_names) == len(set(spec.state_names)) == 39
    recording = recordings(tmp_path)[0]
    check_pairs(recording, "metaworld_corner", 9)
    check_pairs(recording, "metaworld_wrist", 9, 3)
    np.testing.assert_allclose(recording.state, episode(9)["state"].astype(np.float32))
    np.testing.assert_array_equal(recording.reward, np.arange(8))
    assert recording.metadata["language"] == "door open"
    assert recording.metadata["task"] == "door-open-v3"
    json.dumps(recording.metadata)


def test_episodes_in_numeric_order(tmp_path):
    write_hdf5(tmp_path / "a.hdf5", [episode(3)] * 11)
    names = [item.name for item in recipe.plan(options(tmp_path)).items]
    assert names == [f"a.hdf5:episode_{i}" for i in range(11)]


def test_cameras_and_state(tmp_path):
    write_hdf5(tmp_path / "a.hdf5", [episode(5)], language="open it")
    (recording,) = recordings(tmp_path, "--cameras=wrist", "--state=proprio")
    check_pairs(recording, "metaworld", 5, 3)
    assert recording.state.shape == (5, 4) and recording.metadata["language"] == "open it"
    assert recordings(tmp_path, "--state=none")[0].state is None
    with pytest.raises(DataError, match="no behind"):
        recipe.plan(options(tmp_path, "--cameras=behind"))


def test_actions_are_clipped_as_the_environment_does(tmp_path):
    arrays = episode(5)
    arrays["action"][2] = [3, -7, 0.5, 1]
    write_hdf5(tmp_path / "a.hdf5", [arrays])
    (recording,) = recordings(tmp_path)
    np.testing.assert_array_equal(recording.action[2], [1, -1, 0.5, 1])
    assert recording.metadata["clipped_actions"] == 1


@pytest.mark.parametrize("version, video", [("v3.0", True), ("v2.1", True), ("v3.0", False)])
def test_lerobot(tmp_path, version, video):
    root = tmp_path / "set"
    rf.write_lerobot(
        root,
        [6, 9],
        ("observation.image",),
        version=version,
        video=video,
        turned=False,
        vectors=LEROBOT_VECTORS,
    )
    plan = recipe.plan(options(root))
    assert [spec.name for spec in plan.specs] == ["metaworld"] and not plan.specs[0].has_reward
    for recording, length in zip(recordings(root), (6, 9), strict=True):
        check_pairs(recording, "metaworld", length)
        assert recording.state.shape == (length, 39)
        np.testing.assert_allclose(recording.state[:, 0], np.arange(length))
        assert recording.metadata["language"] == "open the drawer"
    assert recordings(root, "--state=proprio")[0].state.shape == (6, 4)
    assert recordings(root, "--state=none")[0].state is None


def test_lerobot_reward(tmp_path):
    vectors = (*LEROBOT_VECTORS, ("next.reward", 1))
    rf.write_lerobot(tmp_path / "set", [6], ("observation.image",), video=False, vectors=vectors)
    assert recipe.plan(options(tmp_path / "set")).specs[0].has_reward
    (recording,) = recordings(tmp_path / "set")
    np.testing.assert_array_equal(recording.reward, np.arange(5))


def spoiled(name):
    arrays = episode(6)
    if name == "no images":
        del arrays["corner"], arrays["wrist"]
    elif name == "one camera":
        del arrays["wrist"]
    elif name == "too few actions":
        arrays["action"] = arrays["action"][:-1]
    elif name == "seven dimensions":
        arrays["action"] = rf.actions(5, 7)
    elif name == "NaN":
        arrays["action"][1, 1] = np.nan
    elif name == "no reward":
        del arrays["reward"]
    return arrays


@pytest.mark.parametrize(
    "name, reason",
    [
        ("no images", "no images"),
        ("one camera", "no images"),
        ("too few actions", "wrong shape"),
        ("seven dimensions", "wrong shape"),
        ("NaN", "action out of range"),
        ("no reward", "missing labels"),
    ],
)
@pytest.mark.parametrize("format", ["hdf5", "npz"])
def test_bad_episode_alone_is_refused(tmp_path, format, name, reason):
    if format == "hdf5":
        write_hdf5(tmp_path / "a.hdf5", [episode(6), spoiled(name)])
    else:
        write_npz(tmp_path / "0.npz", episode(6))
        write_npz(tmp_path / "1.npz", spoiled(name))
    chosen = options(tmp_path)
    good, bad = recipe.plan(chosen).items
    assert len(list(recipe.read(good, chosen))) == 1
    with pytest.raises(ItemError) as caught:
        list(recipe.read(bad, chosen))
    assert caught.value.reason == reason


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_in_npz_are_never_read(tmp_path):
    write_npz(tmp_path / "0.npz", episode(6))
    write_npz(
        tmp_path / "1.npz", episode(6), extra=np.array([Touch(str(tmp_path / "ran"))], object)
    )
    assert b"open" in pickle.dumps(Touch("x"))
    chosen = options(tmp_path)
    with pytest.raises(ItemError) as caught:
        list(recipe.read(recipe.plan(chosen).items[1], chosen))
    assert caught.value.reason == "pickled" and not (tmp_path / "ran").exists()


def test_damaged_files(tmp_path):
    write_hdf5(tmp_path / "in/a.hdf5", [episode(6)])
    (tmp_path / "in/b.hdf5").write_bytes((tmp_path / "in/a.hdf5").read_bytes()[:3000])
    (entry,) = recipe.plan(options(tmp_path / "in")).skipped
    assert (entry.name, entry.reason) == ("b.hdf5", "unreadable")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected meta/info.json"):
        recipe.plan(options(tmp_path / "empty"))
    (tmp_path / "empty/a.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no episode can be used"):
        recipe.plan(options(tmp_path / "empty"))


@pytest.fixture
def stand_in(monkeypatch):
    """Packages metaworld and gymnasium whose worlds are World."""
    simulator._tasks.cache_clear()
    metaworld_stand_in.install(monkeypatch)
    yield
    simulator._tasks.cache_clear()


def recorded(episodes, **settings):
    with MetaWorld(size=rf.SIZE, cameras=("corner2",)) as world:
        yield from record.record(world, "door-open-v3", episodes=episodes, seed=0, **settings)


def test_recorder(tmp_path, stand_in, monkeypatch):
    path = tmp_path / "door-open-v3.hdf5"
    arguments = ["--task=door-open-v3", "--episodes=2", "--max-steps=8", f"--out={path}"]
    record.main(arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["door-open-v3.hdf5"]
    for recording in recordings(tmp_path):
        check_pairs(recording, "metaworld", 6, 2)
        np.testing.assert_array_equal(recording.state[:, 0], np.arange(6))
        np.testing.assert_array_equal(recording.reward, np.arange(1, 6))
        assert recording.metadata["success"] is True and recording.metadata["fps"] == 80
    monkeypatch.setattr(World, "end", 99)
    (episode,) = recorded(1, max_steps=8)
    assert episode.length == 9 and episode.metadata["success"] is False and not episode.done


def test_recorder_notices_a_lost_renderer(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(World, "black_from", 4)
    with pytest.raises(DataError, match="door-open-v3 episode 0: the renderer is lost"):
        record.write_task(tmp_path / "a.hdf5", recorded(1, max_steps=8), "corner2")
    assert not list(tmp_path.iterdir())


def test_simulator(stand_in):
    """Cameras are upright and named, seeds reach the world, tasks have words."""
    with MetaWorld(size=rf.SIZE, cameras=("topview", "corner2")) as world:
        world.reset(6, "door-open-v3")
        assert world._world.seen == 6 and world.language() == "door open"
        frames = world.frames()
        assert [rf.instant_of(frames[name], i) for name, i in (("topview", 0), ("corner2", 2))] == [
            0,
            0,
        ]
        assert all(rf.is_upright(frame) for frame in frames.values())
        first = world._world
        done, agent = False, world.expert()
        while not done:
            assert world.success() is False
            reward, done = world.step(np.float32(agent(world.frames())))
        assert world.success() and reward == 5 and world.state().shape == (39,)
        assert world.normalised_score(5.0) is None
        world.reset(1, "drawer-close-v3")
        assert first.closed and world.task.language == "drawer close" and not world.success()


def test_missing_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld", None)
    with pytest.raises(DataError, match="pip install metaworld 'mujoco<4' packaging"):
        record.main(["--task=door-open-v3", "--out=a.hdf5"])


def test_prepared_folder(tmp_path):
    good = [episode(8 + i, seed=i) for i in range(4)]
    write_hdf5(tmp_path / "in/a.hdf5", [*good, spoiled("NaN")])
    out = tmp_path / "out"
    assert prepare("metaworld", out, options(tmp_path / "in", "--max-failures=0.3"))
    assert validate(out)["transitions"] == 2 * (7 + 8 + 9 + 10)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["skipped"] == {"action out of range": 1}
