"""LIBERO in RLDS schema, written as TFDS writes TFRecords; see robot_files.py for what it shows."""

import io
import json
import struct

import numpy as np
from PIL import Image

from data_pipelines.readers.tfds.tfrecord import masked_crc32c
from tests.data_pipelines.readers.robot_files import SIZE, actions, upright


def _field(number, content):
    """A length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _example(features):
    """tf.train.Example: name -> list of bytes, float32 array or bool array."""
    entries = b""
    for name, values in features.items():
        if isinstance(values, list):
            kind = _field(1, b"".join(_field(1, value) for value in values))
        elif values.dtype == np.float32:
            kind = _field(2, _field(1, values.tobytes()))
        else:
            kind = _field(3, _field(1, b"".join(_varint(int(v)) for v in values)))
        entries += _field(1, _field(1, name.encode()) + _field(2, kind))
    return _field(1, entries)


def _tensor(dtype, *shape):
    sizes = {"dimensions": [str(size) for size in shape]} if shape else {}
    return {"tensor": {"dtype": dtype, "encoding": "none", "shape": sizes}}


def jpeg(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def _rlds_features():
    def group(**features):
        return {"featuresDict": {"features": features}}

    image = {"shape": {"dimensions": [str(SIZE), str(SIZE), "3"]}, "dtype": "uint8"}
    observation = group(
        image={"image": image | {"encodingFormat": "jpeg"}},
        wrist_image={"image": image | {"encodingFormat": "jpeg"}},
        state=_tensor("float32", 8),
        joint_state=_tensor("float32", 7),
    )
    flags = {name: _tensor("bool") for name in ("is_first", "is_last", "is_terminal")}
    steps = group(
        observation=observation,
        action=_tensor("float32", 7),
        discount=_tensor("float32"),
        reward=_tensor("float32"),
        language_instruction={"text": {}},
        **flags,
    )
    return group(
        steps={"sequence": {"feature": steps, "length": "-1"}},
        episode_metadata=group(file_path={"text": {}}),
    )


def rlds_episode(length, **changes):
    """One episode as modified_libero_rlds holds it: pictures turned by 180 degrees."""
    instants = np.arange(length, dtype=np.float32)
    last = instants == length - 1
    features = {
        "steps/observation/image": [jpeg(upright(t)[:, ::-1]) for t in range(length)],
        "steps/observation/wrist_image": [jpeg(upright(t, 3)[:, ::-1]) for t in range(length)],
        "steps/observation/state": np.repeat(instants, 8),
        "steps/observation/joint_state": np.repeat(2 * instants, 7),
        "steps/action": actions(length).astype(np.float32).reshape(-1),
        "steps/discount": np.ones(length, np.float32),
        "steps/reward": last.astype(np.float32),
        "steps/is_first": instants == 0,
        "steps/is_last": last,
        "steps/is_terminal": last,
        "steps/language_instruction": [b"open the drawer"] * length,
        "episode_metadata/file_path": [b"/raw/libero_goal/open_the_drawer_demo.hdf5"],
    }
    return _example(features | {name.replace("__", "/"): v for name, v in changes.items()})


def write_rlds(root, suite, records):
    """A folder `<suite>/1.0.0` with one TFRecord shard."""
    folder = root / suite / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps(_rlds_features()))
    splits = [{"name": "train", "shardLengths": [str(len(records))]}]
    info = {"name": suite, "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with open(folder / f"{suite}-train.tfrecord-00000-of-00001", "wb") as file:
        for record in records:
            size = struct.pack("<Q", len(record))
            file.write(size + struct.pack("<I", masked_crc32c(size)))
            file.write(record + struct.pack("<I", masked_crc32c(record)))
    return folder
