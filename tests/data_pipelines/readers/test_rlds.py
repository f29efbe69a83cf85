"""RLDS folders: written by TFDS itself (array_record), and as TFRecords of the same bytes.

Camera 1 of step t shows red 10 t, camera 2 shows green 10 t, and every label of step t holds t.
"""

import io
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError, Recording
from data_pipelines.readers.rlds import recipe as rlds
from data_pipelines.readers.tfds.episodes import Pictures, decode
from data_pipelines.readers.tfds.folder import Leaf, open_folder
from data_pipelines.registry import recipe_options
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers.tfrecord_writer import tfrecord

SIDE = 16
f = tfds.features
FEATURES = f.FeaturesDict(
    {
        "steps": f.Dataset(
            {
                "observation": {
                    "image": f.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg"),
                    "wrist_image": f.Image(shape=(None, None, 3)),
                    "depth": f.Image(shape=(SIDE, SIDE, 1)),
                    "state": f.Tensor(shape=(3,), dtype=np.float64, encoding="zlib"),
                    "joints": f.Tensor(shape=(2, 2), dtype=np.float32, encoding="bytes"),
                    "natural_language_instruction": f.Text(),
                },
                "action": {
                    "world_vector": f.Tensor(shape=(3,), dtype=np.float32),
                    "gripper": np.float32,
                    "open": np.bool_,
                },
                "key": f.ClassLabel(num_classes=4),
                "button": np.int64,
                "cloud": f.Tensor(shape=(None, None), dtype=np.uint8, encoding="zlib"),
                "reward": np.float32,
                "discount": np.float32,
                "is_first": np.bool_,
                "is_last": np.bool_,
                "is_terminal": np.bool_,
            }
        ),
        "episode_metadata": {"file_path": f.Text(), "success": np.bool_},
    }
)


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    buffer.seek(0)
    return buffer


def picture(t, channel, texture):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:4, :, 2] = texture
    image[..., channel] = 10 * t
    return png(image)


def episode(number, length):
    texture = np.random.default_rng(number).integers(0, 255, (4, SIDE), np.uint8)
    steps = []
    for t in range(length):
        steps.append(
            {
                "observation": {
                    "image": picture(t, 0, texture),
                    "wrist_image": picture(t, 1, texture),
                    "depth": png(np.full((SIDE, SIDE), t, np.uint8)),
                    "state": np.array([t, number, -1.5]),
                    "joints": np.full((2, 2), t, np.float32),
                    "natural_language_instruction": f"task {number}" if t else "",
                },
                "action": {
                    "world_vector": np.array([t, t, 0.5], np.float32),
                    "gripper": number,
                    "open": t % 2 == 1,
                },
                "key": t % 4,
                "button": t % 3,
                "cloud": np.full((t + 1, 2), t, np.uint8),
                "reward": t,
                "discount": 1.0,
                "is_first": t == 0,
                "is_last": t == length - 1,
                "is_terminal": t == length - 1 and number % 2 == 0,
            }
        )
    success = number % 2 == 0
    return {"steps": steps, "episode_metadata": {"file_path": f"{number}.h5", "success": success}}


class FlexlamTestRobot(tfds.core.GeneratorBasedBuilder):
    """An RLDS dataset with two splits."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=FEATURES, description="test")

    def _split_generators(self, manager):
        return {"train": self._generate_examples((0, 1)), "val": self._generate_examples((2,))}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, episode(number, 5 + number)


@pytest.fixture(scope="module")
def by_tfds(tmp_path_factory):
    """The folder that TFDS writes, read only."""
    root = tmp_path_factory.mktemp("tfds")
    FlexlamTestRobot.pkg_dir_path = root
    FlexlamTestRobot(data_dir=root, file_format="array_record").download_and_prepare()
    return root / "flexlam_test_robot" / "1.0.0"


@pytest.fixture
def by_hand(by_tfds, tmp_path):
    """The same as TFRecords, in a folder that tests may change."""
    folder = tmp_path / "robot"
    folder.mkdir()
    (folder / "features.json").write_bytes((by_tfds / "features.json").read_bytes())
    info = json.loads((by_tfds / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for split, numbers in (("train", (0, 1)), ("val", (2,))):
        records = [FEATURES.serialize_example(episode(n, 5 + n)) for n in numbers]
        name = f"flexlam_test_robot-{split}.tfrecord-00000-of-00001"
        (folder / name).write_bytes(tfrecord(*records))
    return folder


def options(source, *more):
    return recipe_options("rlds", f"--source={source}", f"--size={SIDE}", *more)


def read_all(chosen):
    plan = rlds.plan(chosen)
    return plan, [result for item in plan.items for result in rlds.read(item, chosen)]


def change(folder, name, edit):
    data = json.loads((folder / name).read_text())
    edit(data)
    (folder / name).write_text(json.dumps(data))


def number_of(recording):
    return int(recording.metadata["episode_metadata/file_path"].removesuffix(".h5"))


@pytest.mark.parametrize("source", ["by_tfds", "by_hand"])
def test_frames_labels_splits_and_language(source, request):
    plan, results = read_all(options(request.getfixturevalue(source)))
    names = ["flexlam_test_robot_image", "flexlam_test_robot_wrist_image"]
    assert [spec.name for spec in plan.specs] == names
    assert {spec.recording for spec in plan.specs} == {"flexlam_test_robot"}
    spec = plan.specs[0]
    assert (spec.action.kind, spec.has_reward, spec.camera) == ("continuous", True, "image")
    assert spec.action.names == (
        "action/gripper",
        "action/open",
        "action/world_vector_0",
        "action/world_vector_1",
        "action/world_vector_2",
    )
    assert sorted(result.split for result in results) == ["train", "train", "validation"]
    assert sorted(number_of(result) for result in results) == [0, 1, 2]
    for recording in results:
        number = number_of(recording)
        length = 5 + number
        image, wrist = (np.stack(list(recording.frames[name])) for name in names)
        times = np.arange(length)
        # JPEG is only what the schema says: the bytes are PNG, and that is what counts.
        assert image[:, 8, 8].tolist() == [[10 * t, 0, 0] for t in times]
        assert wrist[:, 8, 8].tolist() == [[0, 10 * t, 0] for t in times]
        steps = times[:-1]
        expected = np.stack([0 * steps + number, steps % 2, steps, steps, 0 * steps + 0.5], 1)
        np.testing.assert_array_equal(recording.action, expected.astype(np.float32))
        assert recording.reward.tolist() == steps.tolist()
        assert recording.episode_return == steps.sum()
        assert recording.metadata["language"] == f"task {number}"
        assert recording.metadata["terminal"] == (number % 2 == 0)
        assert recording.metadata["episode_metadata/success"] is (number % 2 == 0)


def test_fields_decode_by_encoding(by_hand):
    first, second = rlds.episodes(by_hand, "train")
    assert second.steps["observation/state"].tolist() == [[t, 1, -1.5] for t in range(6)]
    assert second.steps["observation/joints"][3].tolist() == [[3, 3], [3, 3]]
    assert [cloud.shape for cloud in first.steps["cloud"]] == [(t + 1, 2) for t in range(5)]
    assert first.steps["action/open"].dtype == bool
    assert isinstance(first.steps["observation/image"], Pictures)
    assert first.metadata["episode_metadata/file_path"] == "0.h5"
    with pytest.raises(DataError, match="it has train, val"):
        next(rlds.episodes(by_hand, "all"))


def test_chosen_fields(by_hand):
    chosen = options(
        by_hand,
        "--image-keys=observation/wrist_image",
        "--action-key=action/world_vector,action/gripper",
        "--state-key=observation/joints,observation/state",
        "--language-key=episode_metadata/file_path",
        "--name=arm",
    )
    plan, results = read_all(chosen)
    assert [(spec.name, spec.recording) for spec in plan.specs] == [("arm", "")]
    assert plan.specs[0].state_names[:2] == ("observation/joints_0", "observation/joints_1")
    assert results[1].action[3].tolist() == [3, 3, 0.5, 1]
    assert results[1].state[5].tolist() == [5, 5, 5, 5, 5, 1, -1.5]
    assert results[1].metadata["language"] == "1.h5"
    assert list(results[1].frames["arm"])[2][8, 8].tolist() == [0, 20, 0]


def test_integer_actions_are_discrete(by_hand):
    plan, results = read_all(options(by_hand, "--action-key=key"))
    assert (plan.specs[0].action.kind, plan.specs[0].action.count) == ("discrete", 4)
    assert results[0].action.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="--action-count"):
        rlds.plan(options(by_hand, "--action-key=button"))
    plan, results = read_all(options(by_hand, "--action-key=button", "--action-count=3"))
    assert plan.specs[0].action.count == 3
    assert results[0].action.dtype == np.int32
    with pytest.raises(DataError, match="one integer per step"):
        rlds.plan(options(by_hand, "--action-count=3"))


def test_video_only(by_hand):
    plan, results = read_all(options(by_hand, "--action-key="))
    assert plan.specs[0].action is None
    assert results[0].action is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--image-keys=observation/depth", "observation/image, observation/wrist_image"),
        ("--action-key=actions", "--action-key= leaves it out"),
        ("--state-key=cloud", "--state-key"),
        ("--language-key=reward", "language_instruction"),
        ("--format=array_record", "holds tfrecord"),
    ],
)
def test_wrong_choice_names_what_there_is(by_hand, option, message):
    with pytest.raises(DataError, match=message):
        rlds.plan(options(by_hand, option))


def test_lone_train_split_is_none(by_hand):
    change(by_hand, "dataset_info.json", lambda info: info["splits"].pop())
    assert [result.split for result in read_all(options(by_hand))[1]] == [None, None]


def test_cut_and_missing_shards(by_hand):
    shard = by_hand / "flexlam_test_robot-train.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-100])
    (by_hand / "flexlam_test_robot-val.tfrecord-00000-of-00001").unlink()
    plan, (good, cut) = read_all(options(by_hand))
    assert [skip.reason for skip in plan.skipped] == ["missing shard"]
    assert isinstance(good, Recording)
    assert cut.reason == "truncated file"
    with pytest.raises(ItemError):
        list(rlds.episodes(by_hand, "train"))


def test_shard_cut_between_records(by_hand):
    shard = by_hand / "flexlam_test_robot-train.tfrecord-00000-of-00001"
    shard.write_bytes(tfrecord(FEATURES.serialize_example(episode(0, 5))))
    _, (good, cut, _) = read_all(options(by_hand))
    assert isinstance(good, Recording)
    assert cut.reason == "truncated file"


def copy_of(folder, to):
    to.mkdir(parents=True)
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_cut_array_record(by_tfds, tmp_path):
    folder = copy_of(by_tfds, tmp_path / "copy")
    shard = folder / "flexlam_test_robot-train.array_record-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[: 1 << 16])
    _, (damaged, good) = read_all(options(folder))
    assert (damaged.reason, damaged.episodes) == ("corrupt file", 2)
    assert good.split == "validation"


def test_damaged_record_of_an_array_record_is_lost_alone(by_tfds, tmp_path):
    folder = copy_of(by_tfds, tmp_path / "copy")
    shard = folder / "flexlam_test_robot-train.array_record-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[300] ^= 255  # of the first record
    shard.write_bytes(data)
    _, (damaged, good, _) = read_all(options(folder))
    assert (damaged.reason, damaged.episodes) == ("corrupt record", 1)
    assert isinstance(good, Recording)


def with_steps(folder, edit):
    """Rewrites the train shard with one episode whose steps were changed by `edit`."""
    changed = episode(0, 5)
    edit(changed["steps"])
    write_train(folder, FEATURES.serialize_example(changed))


def write_train(folder, record):
    """Makes the train shard this one record."""
    name = "flexlam_test_robot-train.tfrecord-00000-of-00001"
    (folder / name).write_bytes(tfrecord(record))
    change(folder, "dataset_info.json", lambda info: info["splits"][0].update(shardLengths=["1"]))


@pytest.mark.parametrize(("flag", "step"), [("is_first", 2), ("is_last", 0)])
def test_record_with_several_episodes_is_skipped(by_hand, flag, step):
    with_steps(by_hand, lambda steps: steps[step].update({flag: True}))
    _, (skipped, _) = read_all(options(by_hand))
    assert skipped.reason == "broken episode"


def test_episode_without_transition_is_skipped_alone(by_hand):
    with_steps(by_hand, lambda steps: steps.__delitem__(slice(1, None)))
    _, (skipped, good) = read_all(options(by_hand))
    assert skipped.reason == "too short"
    assert isinstance(good, Recording)


def test_record_of_another_schema_is_skipped(by_hand):
    other = f.FeaturesDict({"steps": f.Dataset({"reward": np.float32})})
    write_train(by_hand, other.serialize_example({"steps": [{"reward": 1.0}]}))
    _, (skipped, good) = read_all(options(by_hand))
    assert skipped.reason == "corrupt record"
    assert isinstance(good, Recording)


def test_shard_names_stay_inside(by_hand):
    def escape(info):
        info["splits"][0]["filepathTemplate"] = "../{SPLIT}-{SHARD_X_OF_Y}"

    change(by_hand, "dataset_info.json", escape)
    with pytest.raises(DataError, match="no plain file name"):
        rlds.plan(options(by_hand))


def test_folders_that_are_no_rlds(by_hand, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        rlds.plan(options(tmp_path / "empty"))
    f.FeaturesDict({"image": f.Image()}).save_config(by_hand)
    with pytest.raises(DataError, match="no RLDS dataset; it holds image"):
        rlds.plan(options(by_hand))


def test_several_folders_are_listed(by_hand):
    for name in ("a", "b"):
        (by_hand.parent / name).mkdir()
        for path in by_hand.iterdir():
            (by_hand.parent / name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="a, b, robot"):
        rlds.plan(options(by_hand.parent))


def test_nested_sequences():
    """As TFDS writes a sequence within each step: flat values and the length of each row."""
    raw = {"k/ragged_flat_values": [1, 2, 3, 4, 5], "k/ragged_row_lengths_0": [2, 0, 3]}
    leaf = Leaf("k", "tensor", "int32", sequences=2)
    assert [row.tolist() for row in decode(leaf, raw)] == [[1, 2], [], [3, 4, 5]]
    raw["k/ragged_row_lengths_0"] = [2, 2]
    with pytest.raises(ItemError, match="sum to 4"):
        decode(leaf, raw)


def test_pictures_stored_as_numbers():
    """Some publishers use a plain uint8 Tensor for frames."""
    frames = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3), np.uint8)
    leaf = Leaf("k", "tensor", "uint8", (5, 6, 3), sequences=1)
    assert leaf.is_image
    np.testing.assert_array_equal(decode(leaf, {"k": frames.ravel().tolist()}), frames)
    assert not Leaf("k", "image", "uint16", (5, 6, 1), sequences=1).is_image


def test_old_features_json_is_refused(by_hand):
    old = {"type": "tensorflow_datasets.core.features.features_dict.FeaturesDict", "content": {}}
    (by_hand / "features.json").write_text(json.dumps(old))
    with pytest.raises(DataError, match="prepare the dataset again"):
        open_folder(by_hand)


def test_prepared_folder_is_valid(by_hand, tmp_path):
    out = tmp_path / "out"
    assert prepare("rlds", out, options(by_hand))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["episodes"] == 6  # three recordings, two cameras
    validate(out)
