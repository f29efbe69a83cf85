"""Small LeRobot sets of any robot, and how tests change what their metadata say."""

import json

import pyarrow as pa
import pyarrow.parquet

from data_pipelines.readers.lerobot import recipe
from tests.data_pipelines.readers import robot_files as rf

LENGTHS = [5, 4, 6]
TOP, HAND = "observation.images.top", "observation.images.hand"


def write(root, cameras=(TOP,), **changes):
    """Episodes of LENGTHS, six actions and six numbers of state, pictures in the rows."""
    given = {"video": False, "vectors": (("action", 6), ("observation.state", 6))} | changes
    return rf.write_lerobot(root / "My set", LENGTHS, cameras, turned=False, **given)


def options(source, *arguments):
    return rf.parsed(recipe, f"--source={source}", f"--size={rf.SIZE}", *arguments)


def recordings(source, *arguments):
    chosen = options(source, *arguments)
    return [found for item in recipe.plan(chosen).items for found in recipe.read(item, chosen)]


def change_info(root, change):
    """change: function of info.json's content, or the content itself."""
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    text = change if isinstance(change, str) else json.dumps(change(info) or info)
    path.write_text(text)


def change_table(file, change):
    """change: function of the list of rows of a Parquet file."""
    rows = pa.parquet.read_table(file).to_pylist()
    pa.parquet.write_table(pa.Table.from_pylist(change(rows) or rows), file)


def set_column(file, name, value):
    change_table(file, lambda rows: [row | {name: value} for row in rows])


def drop_column(file, name):
    pa.parquet.write_table(pa.parquet.read_table(file).drop_columns([name]), file)


def episode_table(root):
    return root / "meta/episodes/chunk-000/file-000.parquet"


def row_table(root):
    return root / "data/chunk-000/file-000.parquet"


def check_frames(recording, name, length, seed=0):
    pictures = list(recording.frames[name])
    assert [rf.instant_of(picture, seed) for picture in pictures] == list(range(length))
    assert all(rf.is_upright(picture) for picture in pictures)
