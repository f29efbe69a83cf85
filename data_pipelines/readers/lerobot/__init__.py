"""LeRobot data sets, layouts v3.0 and v2.x: what they hold, and the rows and frames of an episode.

v3.0 packs many episodes into each parquet file and each mp4; `meta/episodes/*/*.parquet` says where
an episode starts. v2.x has one parquet file and one mp4 per camera for each episode. Pictures are
either in mp4 files or in the parquet rows, as {bytes, path} structs. Field names are those of
`meta/info.json` as LeRobot writes it.

`recipe` is the command for any robot; the commands of LIBERO and Meta-World read their sets with
the functions named here, and have conventions of their own.
"""

from data_pipelines.readers.lerobot.episodes import list_episodes
from data_pipelines.readers.lerobot.info import LeRobot, is_lerobot, open_lerobot
from data_pipelines.readers.lerobot.language import episode_texts, language_fields, without_text
from data_pipelines.readers.lerobot.rows import iter_frames, iter_rows, read_columns

__all__ = [
    "LeRobot",
    "episode_texts",
    "is_lerobot",
    "iter_frames",
    "iter_rows",
    "language_fields",
    "list_episodes",
    "open_lerobot",
    "read_columns",
    "without_text",
]
