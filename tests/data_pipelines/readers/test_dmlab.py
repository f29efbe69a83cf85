"""DMLab in each published layout, written small: right action per frame, right colours, no episode
across an end, damage counted. Frame t of a test episode carries t in its red channel."""

import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tensorflow_datasets.proto import tf_example_generated_pb2 as pb

from data_pipelines.build import prepare
from data_pipelines.readers.dmlab import parquet, recipe, tfds
from data_pipelines.readers.dmlab.actions import TABLES, choose_table
from data_pipelines.errors import DataError
from data_pipelines.recordings import ItemError, Recording, Skipped
from data_pipelines.registry import recipe_options
from data_pipelines.readers.tfds_folder import open_folder
from data_pipelines.validation import validate
from tests.data_pipelines.readers.tfrecord_writer import tfrecord

STEP = 10  # red level per time step


def options(source, *more):
    return recipe_options("dmlab", f"--source={source}", "--size=16", *more)


def read_all(chosen):
    plan = recipe.plan(chosen)
    return plan, [result for item in plan.items for result in recipe.read(item, chosen)]


def frames_of(recording):
    """uint8 (N, 16, 16, 3), kept for a second look (generators are consumed once)."""
    ((name, frames),) = recording.frames.items()
    recording.frames[name] = list(frames)
    return np.stack(recording.frames[name])


def times_of(recording):
    """The time step painted in each frame."""
    return (frames_of(recording)[:, 8, 8, 0] / STEP).round().astype(int).tolist()


def picture(t, height=16, width=16, look=None):
    """uint8 (height, width, 3) RGB: red says t, blue is 200, green a stripe or noise by `look`."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 2] = STEP * t, 200
    image[: height // 4, :, 1] = 120
    if look is not None:
        noise = np.random.default_rng(look).integers(0, 255, (height // 4, width))
        image[: height // 4, :, 1] = noise
    return image


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def example(features):
    message = pb.Example()
    for name, values in features.items():
        feature = message.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return message.SerializeToString()


def rlu_episode(number, length=8, **changes):
    """action[t] = (t + number) % 15; the previous action comes one step later, one-hot."""
    actions = [(t + number) % 15 for t in range(length)]
    before = np.eye(15, dtype=np.float32)[[0, *actions[:-1]]]
    return {
        "episode_id": [number],
        "start_idx": [0],
        "episode_return": [float(number)],
        "observations_pixels": [png(picture(t, 72, 96)[..., ::-1]) for t in range(length)],
        "observations_reward": [0.0] + [float(t) for t in range(length - 1)],
        "observations_action": before.ravel().tolist(),
        "actions": actions,
        "rewards": [float(t) for t in range(length)],
        "discounted_rewards": [0.0] * length,
        "discounts": [1.0] * length,
    } | changes


def write_rlu(root, *episodes, shard=0, cut=0, level="rooms_watermaze"):
    path = root / level / "training_0" / f"tfrecord-{shard:05d}-of-00500"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = gzip.compress(tfrecord(*map(example, episodes)))
    path.write_bytes(data[: len(data) - cut])
    return path


def test_rlu_frames_actions_and_colours(tmp_path):
    write_rlu(tmp_path, rlu_episode(3), rlu_episode(4))
    plan, (first, second) = read_all(options(tmp_path))
    (spec,) = plan.specs
    assert plan.sources["format"] == "rlu"
    assert (spec.name, spec.action.count, spec.fps) == ("dmlab_rooms_watermaze", 15, 15.0)
    assert times_of(first) == list(range(8))
    assert first.action.tolist() == [3, 4, 5, 6, 7, 8, 9]  # the action taken at the frame
    assert second.action.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert first.reward.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert first.episode_return == 3
    assert first.metadata["previous_action_agrees"] == 1
    assert frames_of(second)[2, 8, 8].tolist() == [20, 0, 200]  # blue-first PNGs are stored RGB
    _, (wrong, _) = read_all(options(tmp_path, "--channels=rgb"))
    assert frames_of(wrong)[2, 8, 8].tolist() == [200, 0, 20]


def test_rlu_shows_when_previous_actions_do_not_fit(tmp_path):
    before = np.eye(15, dtype=np.float32)[[(t + 3) % 15 for t in range(8)]].ravel().tolist()
    write_rlu(tmp_path, rlu_episode(3, observations_action=before))
    _, (recording,) = read_all(options(tmp_path))
    assert recording.metadata["previous_action_agrees"] == 0


def test_rlu_cut_file_keeps_its_complete_episodes(tmp_path):
    rng = np.random.default_rng(0)
    noisy = [png(rng.integers(0, 255, (72, 96, 3), np.uint8)) for _ in range(8)]
    last = rlu_episode(2, observations_pixels=noisy)  # large, so that the cut falls inside
    write_rlu(tmp_path, rlu_episode(0), rlu_episode(1), last, cut=5000)
    _, results = read_all(options(tmp_path))
    assert [type(result) for result in results] == [Recording, Recording, Skipped]
    assert results[-1].reason == "truncated file"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actions": [0] * 7}, "step count"),
        ({"observations_action": [0.0] * 15}, "step count"),
        ({"observations_pixels": []}, "not RL Unplugged"),
    ],
)
def test_rlu_bad_episode_is_skipped_alone(tmp_path, change, reason):
    bad = {key: value for key, value in rlu_episode(0, **change).items() if value}
    write_rlu(tmp_path, bad, rlu_episode(1))
    _, (skipped, good) = read_all(options(tmp_path))
    assert skipped.reason == reason
    assert good.action.tolist() == [1, 2, 3, 4, 5, 6, 7]


def leaf(kind, **fields):
    return {"tensor": {"shape": {}, "encoding": "none", "dtype": kind} | fields}


def write_tfds(root, version, name="rlu_dmlab_rooms_watermaze", bgr=False):
    """A TFRecord folder as TFDS prepares it, with one episode."""
    folder = root / name / "training_0" / version
    folder.mkdir(parents=True)
    pixels = {"shape": {"dimensions": ["72", "96", "3"]}, "dtype": "uint8", "encodingFormat": "png"}
    steps = {
        "observation": {"featuresDict": {"features": {"pixels": {"image": pixels}}}},
        "action": leaf("int64"),
        "reward": leaf("float32"),
        "is_first": leaf("bool"),
    }
    top = {
        "steps": {"sequence": {"feature": {"featuresDict": {"features": steps}}}},
        "episode_id": leaf("int64"),
        "episode_return": leaf("float32"),
    }
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": top}}))
    split = {"name": "train", "shardLengths": ["1"]}
    info = {"name": name, "configName": "training_0", "version": version, "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    order = slice(None, None, -1 if bgr else 1)
    record = {
        "steps/observation/pixels": [png(picture(t, 72, 96)[..., order]) for t in range(6)],
        "steps/action": [7, 8, 9, 10, 11, 12],
        "steps/reward": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "steps/is_first": [1, 0, 0, 0, 0, 0],
        "episode_id": [77],
        "episode_return": [15.0],
    }
    (folder / f"{name}-train.tfrecord-00000-of-00001").write_bytes(tfrecord(example(record)))
    return folder


@pytest.mark.parametrize(("version", "bgr"), [("1.0.0", True), ("1.1.0", True), ("1.2.0", False)])
def test_tfds_version_decides_the_channel_order(tmp_path, version, bgr):
    folder = write_tfds(tmp_path, version, bgr=bgr)
    assert tfds.source_channels(open_folder(folder)) == ("bgr" if bgr else "rgb")
    plan, (recording,) = read_all(options(tmp_path))
    assert plan.sources["format"] == "tfds"
    assert frames_of(recording)[3, 8, 8].tolist() == [30, 0, 200]
    assert recording.action.tolist() == [7, 8, 9, 10, 11]
    assert recording.reward.tolist() == [0, 1, 2, 3, 4]
    assert recording.episode_return == 15
    assert recording.split is None  # a lone train split is none


def test_tfds_folder_of_something_else_points_to_rlds(tmp_path):
    folder = write_tfds(tmp_path, "1.2.0", name="other")
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"pixels"', '"image"'))
    with pytest.raises(DataError, match="prepare rlds"):
        recipe.plan(options(tmp_path))


def write_parquet(path, rows, group=4, statistics=True):
    """rows: dicts of t, action, reward, terminated, truncated; `group` rows per row group."""
    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [
        None if row["t"] is None else png(picture(row["t"], look=row["look"])) for row in rows
    ]
    cells = [data and {"bytes": data, "path": None} for data in pictures]
    table = pa.table(
        {
            "observation": pa.array(cells, cell),
            "action": pa.array([row["action"] for row in rows], pa.int32()),
            "reward": pa.array([row["reward"] for row in rows], pa.float32()),
            "terminated": pa.array([row["terminated"] for row in rows], pa.bool_()),
            "truncated": pa.array([row["truncated"] for row in rows], pa.bool_()),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group, write_statistics=statistics)


def rows_of(*lengths, ended=True, look=None):
    """Consecutive rows of episodes of these lengths; action = 2 + t % 13, episode i rewards i.

    look: makes the pictures of each episode its own."""
    rows = []
    for number, length in enumerate(lengths):
        for t in range(length):
            last = t == length - 1 and (ended or number < len(lengths) - 1)
            rows.append(
                {
                    "t": t,
                    "look": None if look is None else (look, number),
                    "action": 2 + t % 13,
                    "reward": float(number),
                    "terminated": last and number % 2 == 0,
                    "truncated": last and number % 2 == 1,
                }
            )
    return rows


def write_level(root, rows, edges, level="lasertag_one_opponent_large", split="train", group=4):
    """Cuts the rows into files at `edges`."""
    bounds = [0, *edges, len(rows)]
    for i, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        name = f"{split}-{i:05d}-of-{len(bounds) - 1:05d}.parquet"
        write_parquet(root / level / name, rows[start:stop], group)


LENGTHS = (5, 9, 2, 14, 4, 3, 1, 6)


@pytest.mark.parametrize("item_bytes", [1, 3000, 1 << 30])
def test_parquet_every_episode_has_one_owner(tmp_path, monkeypatch, item_bytes):
    """Episodes lie across row groups and files; the answer does not depend on the items."""
    monkeypatch.setattr(parquet, "ITEM_BYTES", item_bytes)
    write_level(tmp_path, rows_of(*LENGTHS), edges=(11, 13, 27))
    plan, results = read_all(options(tmp_path))
    assert plan.sources["format"] == "parquet"
    assert len(plan.items) >= 4
    skipped = [result for result in results if isinstance(result, Skipped)]
    kept = [result for result in results if isinstance(result, Recording)]
    assert [skip.reason for skip in skipped] == ["too short"]
    assert [len(frames_of(recording)) for recording in kept] == [n for n in LENGTHS if n > 1]
    for recording, number in zip(kept, (0, 1, 2, 3, 4, 5, 7), strict=True):
        assert times_of(recording) == list(range(LENGTHS[number]))
        assert recording.action.tolist() == [2 + t % 13 for t in range(LENGTHS[number] - 1)]
        assert recording.episode_return == number * LENGTHS[number]
        assert recording.split == "train"
    assert len({recording.name for recording in kept}) == len(kept)
    assert frames_of(kept[0])[2, 8, 8].tolist() == [20, 0, 200]


def test_parquet_end_exactly_at_the_edge_of_an_item(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ITEM_BYTES", 1)
    write_level(tmp_path, rows_of(4, 4, 4), edges=(8,))
    _, results = read_all(options(tmp_path))
    assert [times_of(recording) for recording in results] == [[0, 1, 2, 3]] * 3


def test_parquet_last_rows_are_an_episode_cut_by_the_end(tmp_path):
    write_level(tmp_path, rows_of(5, 6, ended=False), edges=(7,))
    _, (whole, cut) = read_all(options(tmp_path))
    assert "cut_after" not in whole.metadata
    assert "cut_after" in cut.metadata
    assert times_of(cut) == [0, 1, 2, 3, 4, 5]
    assert len(cut.action) == 5


def test_parquet_nulls_skip_their_episode_only(tmp_path):
    rows = rows_of(5, 6, 7, 4)
    rows[7]["action"] = None
    rows[12]["t"] = None
    rows[19]["truncated"] = None
    write_level(tmp_path, rows, edges=(8,))
    _, results = read_all(options(tmp_path))
    assert [getattr(result, "reason", "kept") for result in results] == [
        "kept",
        "null values",
        "null values",
        "null values",
    ]


def test_parquet_missing_and_damaged_files_break_the_rows(tmp_path):
    write_level(tmp_path, rows_of(6, 6, 6, 6, 6), edges=(8, 14, 20))
    level = tmp_path / "lasertag_one_opponent_large"
    (level / "train-00001-of-00004.parquet").unlink()
    plan, results = read_all(options(tmp_path))
    assert [skip.reason for skip in plan.skipped] == ["missing shard"]
    # rows 0-7, then 14-29: nothing may join row 7 to row 14
    assert [times_of(recording) for recording in results] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1],
        [2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
    ]
    assert "cut_after" in results[1].metadata
    assert "cut_before" in results[2].metadata
    damaged = level / "train-00002-of-00004.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    plan, results = read_all(options(tmp_path))
    assert [skip.reason for skip in plan.skipped] == ["missing shard", "corrupt file"]
    assert [times_of(recording) for recording in results][2:] == [[2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


def test_parquet_rows_without_ends_stay_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "LONGEST", 10)
    write_level(tmp_path, rows_of(5, 12, 6), edges=())
    _, (first, endless, last) = read_all(options(tmp_path))
    assert (endless.reason, times_of(last)) == ("no end", [0, 1, 2, 3, 4, 5])
    assert times_of(first) == [0, 1, 2, 3, 4]


def test_parquet_levels_splits_and_action_table(tmp_path):
    small = [row | {"action": 8} for row in rows_of(4)]
    write_level(tmp_path, rows_of(3, 4), edges=(), level="level_a")
    write_level(tmp_path, small, edges=(), level="level_b", split="test")
    plan, results = read_all(options(tmp_path))
    assert [spec.name for spec in plan.specs] == ["dmlab_level_a", "dmlab_level_b"]
    assert [recording.split for recording in results] == ["train", "train", "test"]
    only, _ = read_all(options(tmp_path, "--levels=level_b"))
    assert [spec.name for spec in only.specs] == ["dmlab_level_b"]
    assert only.specs[0].action.names == TABLES["impala"]  # 8 is the largest: nine actions hold it
    wide, _ = read_all(options(tmp_path, "--levels=level_b", "--actions=dreamerv3"))
    assert wide.specs[0].action.count == 15
    with pytest.raises(DataError, match="level_c"):
        recipe.plan(options(tmp_path, "--levels=level_c"))


@pytest.mark.parametrize("statistics", [True, False])
def test_parquet_action_beyond_the_chosen_table(tmp_path, statistics):
    rows = [row | {"action": 9} for row in rows_of(4)]
    write_parquet(tmp_path / "a" / "train-00000-of-00001.parquet", rows, statistics=statistics)
    assert recipe.plan(options(tmp_path)).specs[0].action.count == 15
    with pytest.raises(DataError, match="hold action 9"):
        recipe.plan(options(tmp_path, "--actions=impala"))
    assert choose_table("auto", 99) == "dreamerv3"  # each episode's own check tells


def test_parquet_without_images_is_refused(tmp_path):
    path = tmp_path / "a" / "train-00000-of-00001.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"action": pa.array([1], pa.int32())}), path)
    with pytest.raises(DataError, match="no observation"):
        recipe.plan(options(tmp_path))


def write_teco(root, name, **arrays):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_teco_alignment_and_splits(tmp_path):
    video = np.stack([picture(t, 64, 64) for t in range(7)])
    actions = np.array([0, 1, 2, 0, 1, 2, 2])
    write_teco(tmp_path, "train/0/2.npz", video=video, actions=actions)
    write_teco(tmp_path, "test/0/1.npz", video=video, actions=actions)
    plan, (train, test) = read_all(options(tmp_path))
    assert plan.sources["format"] == "teco"
    assert plan.specs[0].action.count == 3
    assert (train.split, test.split) == ("train", "test")
    assert times_of(train) == list(range(7))
    assert train.action.tolist() == [0, 1, 2, 0, 1, 2]
    assert frames_of(test)[4, 8, 8].tolist() == [40, 0, 200]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"actions": np.zeros(5, int)}, "missing array"),
        ({"video": np.zeros((5, 8, 8, 3), np.float32), "actions": np.zeros(5, int)}, "wrong video"),
        ({"video": np.zeros((5, 8, 8, 3), np.uint8), "actions": np.zeros(4, int)}, "step count"),
        ({"video": np.array([{}], object), "actions": np.zeros(1, int)}, "pickled"),
    ],
)
def test_teco_bad_file(tmp_path, arrays, reason):
    write_teco(tmp_path, "train/0.npz", **arrays)
    with pytest.raises(ItemError) as caught:
        read_all(options(tmp_path))
    assert caught.value.reason == reason


def test_teco_cut_file(tmp_path):
    video = np.stack([picture(t, 64, 64) for t in range(7)])
    path = write_teco(tmp_path, "train/0.npz", video=video, actions=np.zeros(7, int))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ItemError) as caught:
        read_all(options(tmp_path))
    assert caught.value.reason == "corrupt file"


def test_formats_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no DMLab data"):
        recipe.plan(options(tmp_path))
    write_rlu(tmp_path, rlu_episode(0))
    write_level(tmp_path, rows_of(4), edges=())
    with pytest.raises(DataError, match="choose with --format"):
        recipe.plan(options(tmp_path))
    assert recipe.plan(options(tmp_path, "--format=rlu")).sources["format"] == "rlu"
    assert recipe.plan(options(tmp_path, "--format=parquet")).sources["format"] == "parquet"
    with pytest.raises(DataError, match="teco"):
        recipe.plan(options(tmp_path, "--format=teco"))
    with pytest.raises(DataError, match="--actions"):
        recipe.plan(options(tmp_path, "--format=rlu", "--actions=impala"))


def test_prepared_folder_is_valid(tmp_path):
    """Two levels, a cut file and a bad episode, from the front door to the checks."""
    rng = np.random.default_rng(0)
    for shard in range(12):
        noisy = [png(rng.integers(0, 255, (72, 96, 3), np.uint8)) for _ in range(10)]
        episode = rlu_episode(shard, 10, observations_pixels=noisy)
        write_rlu(tmp_path / "raw", episode, shard=shard, cut=500 if shard == 5 else 0)
    out = tmp_path / "out"
    assert prepare("dmlab", out, options(tmp_path / "raw", "--max-failures=0.2"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["episodes"] == 11
    assert manifest["transitions"] == 99
    assert manifest["skipped"] == {"truncated file": 1}
    validate(out)


def test_prepared_levels_keep_the_published_splits(tmp_path):
    """Train and test only, two levels, one episode with an action that no table holds."""
    for look, level in enumerate("ab"):
        rows = rows_of(6, 6, 6, 6, 6, look=look)
        rows[14]["action"] = 99
        write_level(tmp_path / "raw", rows, edges=(8,), level=level)
        rows = rows_of(9, look=look + 2)
        write_level(tmp_path / "raw", rows, edges=(), level=level, split="test")
    out = tmp_path / "out"
    assert prepare("dmlab", out, options(tmp_path / "raw", "--max-failures=0.5"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert sum(manifest["skipped"].values()) == 2
    assert manifest["splits"]["train"]["transitions"] == 2 * 3 * 5
    assert manifest["splits"]["validation"]["transitions"] == 2 * 5  # cut from train
    assert manifest["splits"]["test"]["transitions"] == 2 * 8
    validate(out)
