"""Small RLDS folders written by hand, so that tests may make them wrong in any way.

Camera pictures are noise of their own seed in which the red corner says 10 t.
"""

import io
import json

import numpy as np
from PIL import Image

from data_pipelines.readers.rlds import recipe as rlds
from data_pipelines.registry import recipe_options
from tests.data_pipelines.readers.dmlab_files import example
from tests.data_pipelines.readers.tfrecord_writer import tfrecord

SHARD = "toy-train.tfrecord-{:05d}-of-{:05d}"


def options(source, *more):
    return recipe_options("rlds", f"--source={source}", *more)


def read_all(chosen):
    plan = rlds.plan(chosen)
    return plan, [result for item in plan.items for result in rlds.read(item, chosen)]


def png(height, width, t, seed=0):
    image = np.random.default_rng((seed, t)).integers(0, 255, (height, width, 3), np.uint8)
    image[:2, :2] = (10 * t, 0, 0)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def black(height, width):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def tensor(dtype, *sizes, encoding="none"):
    return {"tensor": {"dtype": dtype, "shape": {"dimensions": list(sizes)}, "encoding": encoding}}


def image(*sizes):
    return {"image": {"shape": {"dimensions": [str(size) for size in sizes]}, "dtype": "uint8"}}


def group(**features):
    return {"featuresDict": {"features": features}}


def features(cameras, texts=(), metadata=None, **fields):
    """cameras: name -> declared shape; fields: more of a step."""
    steps = group(
        observation=group(**{name: image(*shape) for name, shape in cameras.items()}),
        action=tensor("float32", "2"),
        **{name: {"text": {}} for name in texts},
        **fields,
    )
    outside = {} if metadata is None else {"episode_metadata": group(**metadata)}
    return group(steps={"sequence": {"feature": steps}}, **outside)


def episode(length, pictures, **fields):
    """Raw features: pictures: camera -> encoded pictures; fields by name with __ for /."""
    raw = {f"steps/observation/{name}": encoded for name, encoded in pictures.items()}
    raw["steps/action"] = [float(t) for t in range(length) for _ in range(2)]
    return raw | {name.replace("__", "/"): values for name, values in fields.items()}


def write_set(folder, schema, *shards, announced=None, pack=bytes):
    """One TFRecord per list of episodes; announced: lengths in dataset_info.json instead."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.json").write_text(json.dumps(schema))
    lengths = [str(len(shard)) for shard in shards] if announced is None else announced
    split = {"name": "train", "shardLengths": lengths}
    info = {"name": "toy", "version": "1.0.0", "fileFormat": "tfrecord", "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for number, shard in enumerate(shards):
        data = tfrecord(*(example({k: v for k, v in raw.items() if v}) for raw in shard))
        (folder / SHARD.format(number, len(shards))).write_bytes(pack(data))
    return folder


def one_camera(count=3, length=4, side=16):
    """Schema and episodes of a plain set."""
    schema = features({"image": (side, side, 3)})
    made = [
        episode(length, {"image": [png(side, side, t, seed) for t in range(length)]})
        for seed in range(count)
    ]
    return schema, made
