"""LeRobot sets: right rows and right frames per episode, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers import lerobot
from data_pipelines.readers.lerobot import frames as lerobot_frames
from data_pipelines.readers.lerobot.episodes import fill_template
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import robot_files as rf

CAMERA = "observation.images.top"
LENGTHS = [9, 4, 13]


def write(root, **changes):
    arguments = {"version": "v3.0", "video": True} | changes
    return rf.write_lerobot(root / "set", LENGTHS, (CAMERA,), turned=False, **arguments)


def opened(root):
    data = lerobot.open_lerobot(root)
    return data, lerobot.list_episodes(data, (CAMERA,))


@pytest.mark.parametrize("version", ["v3.0", "v2.1", "v2.0"])
@pytest.mark.parametrize("video", [True, False])
def test_rows_and_frames_of_every_episode(tmp_path, version, video):
    data, episodes = opened(write(tmp_path, version=version, video=video))
    assert [episode["length"] for episode in episodes] == LENGTHS
    assert episodes[1]["tasks"] == ["open the drawer"]
    for episode, length in zip(
        reversed(episodes), reversed(LENGTHS), strict=True
    ):  # any order of access
        frames = list(lerobot.iter_frames(data, episode, CAMERA))
        assert [rf.instant_of(frame) for frame in frames] == list(range(length))
        assert all(rf.is_upright(frame) for frame in frames)
        columns = lerobot.read_columns(data, episode, ["action", "observation.state"])
        expected = [rf.action_value(t) for t in range(length)]
        np.testing.assert_allclose(columns["action"][:, 0], expected, atol=1e-6)
        np.testing.assert_allclose(columns["observation.state"][:, 0], np.arange(length))
    json.dumps(episodes)


def test_names_of_dimensions(tmp_path):
    root = write(tmp_path, video=False)
    assert lerobot.open_lerobot(root).names("action") == tuple(f"action{i}" for i in range(7))
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    for names in (None, ["x"], ["x"] * 7):  # absent, too few, not unique
        info["features"]["action"]["names"] = names
        path.write_text(json.dumps(info))
        assert lerobot.open_lerobot(root).names("action") == tuple(f"action_{i}" for i in range(7))


def test_pictures_beside_the_rows(tmp_path):
    """A cell may name a file instead of holding bytes; never one outside of the set."""
    root = tmp_path / "set"
    root.mkdir()
    (root / "a.png").write_bytes(rf._png(rf.upright(3))["bytes"])
    (tmp_path / "b.png").write_bytes(rf._png(rf.upright(3))["bytes"])
    frame = lerobot_frames.picture(root, {"bytes": None, "path": "a.png"}, "row")
    np.testing.assert_array_equal(frame, rf.upright(3))
    for cell, reason in (
        ({"bytes": None, "path": "../b.png"}, "unsafe path"),
        ({"bytes": None, "path": str(tmp_path / "b.png")}, "unsafe path"),
        ({"bytes": None, "path": "absent.png"}, "missing"),
        ({"bytes": b"no picture", "path": None}, "unreadable picture"),
        (None, "no images"),
    ):
        with pytest.raises(ItemError) as caught:
            lerobot_frames.picture(root, cell, "row")
        assert caught.value.reason == reason


# --- templates -----------------------------------------------------------------------------------


def test_template_is_filled():
    template = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    values = {"video_key": "observation.images.top", "chunk_index": 2, "file_index": 1234}
    filled = fill_template(template, values)
    assert filled == "videos/observation.images.top/chunk-002/file-1234.mp4"


@pytest.mark.parametrize(
    "template",
    ["{video_key.__class__}", "{other}", "{index:099999999d}", "{index!r}", "{index", "}"],
)
def test_template_that_is_more_than_a_template(template):
    with pytest.raises(DataError, match="template"):
        fill_template(template, {"video_key": "a", "index": 1})


@pytest.mark.parametrize("field", ["data_path", "video_path"])
@pytest.mark.parametrize("path", ["../outside", "/etc/passwd"])
def test_template_that_leaves_the_set(tmp_path, field, path):
    root = write(tmp_path)
    info = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps(info | {field: path}))
    data, episodes = opened(root)
    with pytest.raises(ItemError) as caught:
        if field == "data_path":
            lerobot.read_columns(data, episodes[0], ["action"])
        else:
            list(lerobot.iter_frames(data, episodes[0], CAMERA))
    assert caught.value.reason == "unsafe path"


# --- bad sets ------------------------------------------------------------------------------------


def rows_reason(root, number=1, columns=("action",)):
    data, episodes = opened(root)
    lerobot.read_columns(data, episodes[0], columns)  # the episode before is fine
    with pytest.raises(ItemError) as caught:
        lerobot.read_columns(data, episodes[number], columns)
    return caught.value.reason


def test_nulls_are_refused(tmp_path):
    def spoil(rows):
        rows[LENGTHS[0] + 2]["action"] = None
        return rows

    assert rows_reason(write(tmp_path, video=False, changes=spoil)) == "nulls"


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_missing_row_is_refused(tmp_path, version):
    def spoil(rows):
        return rows[: LENGTHS[0] + 2] + rows[LENGTHS[0] + 3 :]

    reason = rows_reason(write(tmp_path, video=False, version=version, changes=spoil))
    assert reason == "episode boundary"


def test_row_of_the_neighbour_is_refused(tmp_path):
    def spoil(rows):
        rows[LENGTHS[0]]["episode_index"] = 2  # the first row of episode 1
        return rows

    assert rows_reason(write(tmp_path, video=False, changes=spoil)) == "episode boundary"


def test_rows_out_of_order_are_refused(tmp_path):
    def spoil(rows):
        a, b = LENGTHS[0] + 1, LENGTHS[0] + 2
        rows[a], rows[b] = rows[b], rows[a]
        return rows

    assert rows_reason(write(tmp_path, video=False, changes=spoil)) == "episode boundary"


def test_ragged_and_missing_columns(tmp_path):
    def spoil(rows):
        rows[LENGTHS[0]]["action"] = [0.0]
        return rows

    root = write(tmp_path, video=False, changes=spoil)
    assert rows_reason(root) == "wrong shape"
    data, episodes = opened(root)
    with pytest.raises(ItemError, match="no columns"):
        lerobot.read_columns(data, episodes[0], ["reward"])


def test_damaged_and_missing_files(tmp_path):
    root = write(tmp_path, version="v2.1")
    path = root / "data/chunk-000/episode_000001.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    assert rows_reason(root) == "unreadable"
    path.unlink()
    assert rows_reason(root) == "missing"
    video = root / f"videos/chunk-000/{CAMERA}/episode_000001.mp4"
    video.write_bytes(video.read_bytes()[:300])
    data, episodes = opened(root)
    with pytest.raises(ItemError) as caught:
        list(lerobot.iter_frames(data, episodes[1], CAMERA))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize(
    "script",
    ["#EXTM3U\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {name}\n"],
)
def test_play_list_called_mp4(tmp_path, script):
    """Decoders follow play lists by content, whatever the name of the file."""
    root = write(tmp_path, version="v2.1")
    folder = root / f"videos/chunk-000/{CAMERA}"
    rf.write_mp4(folder / "other.mp4", [rf.upright(t) for t in range(4)])
    text = script.format(path=folder / "other.mp4", name="other.mp4")
    (folder / "episode_000001.mp4").write_text(text)
    data, episodes = opened(root)
    with pytest.raises(ItemError) as caught:
        list(lerobot.iter_frames(data, episodes[1], CAMERA))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("frames", [3, 5])
def test_video_of_another_length(tmp_path, frames):
    """Fewer or more frames than rows, in the layout with one video per episode."""
    root = write(tmp_path, version="v2.1")
    pictures = [rf.upright(t) for t in range(frames)]
    rf.write_mp4(root / f"videos/chunk-000/{CAMERA}/episode_000001.mp4", pictures)
    data, episodes = opened(root)
    assert episodes[1]["length"] == 4
    with pytest.raises(ItemError) as caught:
        list(lerobot.iter_frames(data, episodes[1], CAMERA))
    assert caught.value.reason == "frame count"


@pytest.mark.parametrize("change", ["span", "missing end", "other rate"])
def test_packed_video_of_another_length(tmp_path, change):
    root = write(tmp_path)
    video = root / f"videos/{CAMERA}/chunk-000/file-000.mp4"
    total = sum(LENGTHS)
    if change == "missing end":
        rf.write_mp4(video, [rf.upright(0)] * (total - 2))
    elif change == "other rate":  # frames between those that the metadata promise
        rf.write_mp4(video, [rf.upright(0)] * 2 * total, fps=2 * rf.FPS + 5)
    else:
        path = root / "meta/episodes/chunk-000/file-000.parquet"
        rows = pa.parquet.read_table(path).to_pylist()
        rows[2][f"videos/{CAMERA}/to_timestamp"] += 2 / rf.FPS
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    data, episodes = opened(root)
    with pytest.raises(ItemError) as caught:
        list(lerobot.iter_frames(data, episodes[2], CAMERA))
    assert caught.value.reason == "frame count"


def test_set_that_is_none(tmp_path):
    with pytest.raises(DataError, match="info.json"):
        lerobot.open_lerobot(tmp_path)
    root = write(tmp_path, video=False)
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"codebase_version": "v1.6"}))
    with pytest.raises(DataError, match="v1.6"):
        lerobot.open_lerobot(root)
    path.write_text("{")
    with pytest.raises(DataError, match="LeRobot set"):
        lerobot.open_lerobot(root)
    path.write_text(json.dumps(info))
    for file in root.glob("meta/episodes/*/*.parquet"):
        file.unlink()
    with pytest.raises(DataError, match="meta/episodes"):
        opened(root)
