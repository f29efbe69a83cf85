"""Small DMLab files in the published layouts, for the tests beside this file.

Frame t of an episode carries t in its red channel."""

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tensorflow_datasets.proto import tf_example_generated_pb2 as pb

from data_pipelines.readers.dmlab import recipe
from data_pipelines.registry import recipe_options
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
