"""Small files in the layouts of LIBERO, LeRobot and Meta-World, whose truth is known.

At instant i the world is painted with level(i), and the action that leads from instant i to i + 1
has action_value(i) in its first dimension, so that a test can tell which action goes with which
picture. The first rows of an upright picture are red, its first columns blue, the rest is grey.
"""

import argparse
import io
import json

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

SIZE = 32
FPS = 20


def parsed(recipe, *arguments):
    parser = argparse.ArgumentParser()
    recipe.add_arguments(parser)
    return recipe.options(parser.parse_args(arguments))


def level(instant, seed=0):
    return 40 + 12 * instant + seed


def action_value(instant):
    return 0.02 * instant - 0.5


def upright(instant, seed=0):
    """uint8 (SIZE, SIZE, 3): red above, blue on the left, grey by the instant."""
    picture = np.full((SIZE, SIZE, 3), level(instant, seed), np.uint8)
    picture[:, :8] = (0, 0, 255)
    picture[:8] = (255, 0, 0)
    return picture


def instant_of(picture, seed=0):
    """The instant that a picture (in any orientation) shows."""
    middle = picture[12:20, 12:20].astype(float).mean()
    return round((middle - 40 - seed) / 12)


def is_upright(picture):
    top, left = picture[2, 20].astype(int), picture[20, 2].astype(int)
    return min(top[0], left[2]) > 200 and max(top[2], left[0]) < 60


def actions(count, width=7):
    values = np.zeros((count, width))
    values[:, 0] = [action_value(i) for i in range(count)]
    return values


# --- LIBERO's HDF5 ---------------------------------------------------------------------------


def write_demo(group, rows, follows, seed=0):
    """`rows` rows; observations of the instant after (`follows`) or before the row's action."""
    observed = np.arange(rows) + (1 if follows else 0)
    joints = np.stack([0.1 * np.arange(rows + 1) * (k + 1) for k in range(7)], 1)
    states = np.zeros((rows, 20))
    states[:, 1:8] = joints[:rows]
    last = np.zeros(rows, np.uint8)
    last[-1] = 1
    group.attrs["num_samples"] = rows
    group["actions"] = actions(rows)
    group["states"] = states
    group["rewards"] = last
    group["dones"] = last
    group["robot_states"] = np.tile(observed[:, None] * 1.0, (1, 9)) + np.arange(9) / 10
    obs = group.create_group("obs")
    obs["ee_states"] = np.tile(observed[:, None] * 1.0, (1, 6))
    obs["gripper_states"] = np.tile(observed[:, None] * 2.0, (1, 2))
    obs["joint_states"] = joints[observed]
    for name, shift in (("agentview_rgb", 0), ("eye_in_hand_rgb", 3)):
        obs[name] = np.stack([upright(i, seed + shift)[::-1] for i in observed])


def write_libero(path, demos=3, rows=12, follows=True, obs_when=None, language=None, seed=0):
    """A file as LIBERO's script writes it; demo i has `rows + i` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if obs_when:
            data.attrs["obs_when"] = obs_when
        data.attrs["macros_image_convention"] = "opengl"
        data.attrs["bddl_file_name"] = "libero/bddl_files/libero_goal/task.bddl"
        data.attrs["problem_info"] = json.dumps(
            {"language_instruction": language or "open the middle layer of the drawer"}
        )
        for i in range(demos):
            write_demo(data.create_group(f"demo_{i}"), rows + i, follows, seed + i)
    return path


# --- LeRobot ---------------------------------------------------------------------------------


def write_mp4(path, pictures, fps=FPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1", "g": "5"})
        stream.height = stream.width = SIZE
        stream.pix_fmt = "yuv444p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write_lerobot(
    root,
    lengths,
    cameras,
    version="v3.0",
    video=True,
    turned=True,
    vectors=(("action", 7), ("observation.state", 8)),
    row_group_size=7,
    changes=None,
):
    """A set of episodes of `lengths` frames. vectors: 'action' or instants in every dimension.

    turned: pictures are stored turned by 180 degrees against the raw ones, as LIBERO's are.
    changes: function of the list of all rows, applied before they are written.
    """
    packed = version.startswith("v3")
    seeds = {camera: 3 * k for k, camera in enumerate(cameras)}

    def stored(instant, camera):
        picture = upright(instant, seeds[camera])
        return np.ascontiguousarray(picture[:, ::-1] if turned else picture)

    rows, episodes, start = [], [], 0
    for number, length in enumerate(lengths):
        for t in range(length):
            row = {"episode_index": number, "frame_index": t, "index": start + t, "task_index": 0}
            for name, width in vectors:
                value = actions(t + 1, width)[t] if name == "action" else np.full(width, float(t))
                row[name] = value.astype(np.float32).tolist()
            if not video:
                row |= {camera: _png(stored(t, camera)) for camera in cameras}
            rows.append(row)
        entry = {"episode_index": number, "tasks": ["open the drawer"], "length": length}
        if packed:
            entry |= {"dataset_from_index": start, "dataset_to_index": start + length}
            entry |= {"data/chunk_index": 0, "data/file_index": 0, "stats/action/max": [1.0]}
            for camera in cameras if video else ():
                entry[f"videos/{camera}/chunk_index"] = entry[f"videos/{camera}/file_index"] = 0
                entry[f"videos/{camera}/from_timestamp"] = start / FPS
                entry[f"videos/{camera}/to_timestamp"] = (start + length) / FPS
        episodes.append(entry)
        start += length
    rows = changes(rows) if changes else rows
    _write_meta(root, version, video, cameras, vectors, episodes)
    _write_rows(root, packed, rows, lengths, row_group_size)
    for camera in cameras if video else ():
        frames = [[stored(t, camera) for t in range(length)] for length in lengths]
        if packed:
            write_mp4(
                root / f"videos/{camera}/chunk-000/file-000.mp4",
                [picture for pictures in frames for picture in pictures],
            )
        else:
            for number, pictures in enumerate(frames):
                write_mp4(root / f"videos/chunk-000/{camera}/episode_{number:06d}.mp4", pictures)
    return root


def _write_meta(root, version, video, cameras, vectors, episodes):
    packed = version.startswith("v3")
    kind = "video" if video else "image"
    features = {
        name: {
            "dtype": "float32",
            "shape": [width],
            "names": {"motors": [f"{name}{i}" for i in range(width)]},
        }
        for name, width in vectors
    } | {camera: {"dtype": kind, "shape": [SIZE, SIZE, 3], "names": None} for camera in cameras}
    info = {
        "codebase_version": version,
        "fps": FPS,
        "features": features,
        "chunks_size": 1000,
        "total_episodes": len(episodes),
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
        if packed
        else "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        if packed
        else "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    if packed:
        folder = root / "meta" / "episodes" / "chunk-000"
        folder.mkdir(parents=True)
        pa.parquet.write_table(pa.Table.from_pylist(episodes), folder / "file-000.parquet")
    else:
        lines = "".join(json.dumps(entry) + "\n" for entry in episodes)
        (root / "meta" / "episodes.jsonl").write_text(lines)


def _write_rows(root, packed, rows, lengths, row_group_size):
    folder = root / "data" / "chunk-000"
    folder.mkdir(parents=True)
    if packed:
        # small row groups, so that they cut episodes
        pa.parquet.write_table(
            pa.Table.from_pylist(rows), folder / "file-000.parquet", row_group_size=row_group_size
        )
        return
    for number in range(len(lengths)):
        mine = [row for row in rows if row["episode_index"] == number]
        pa.parquet.write_table(pa.Table.from_pylist(mine), folder / f"episode_{number:06d}.parquet")
