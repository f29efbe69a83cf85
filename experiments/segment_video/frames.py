"""Frames of an episode at given times, whatever records they lie in."""

import functools

import numpy as np
from PIL import Image

from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.loading.windows import ClipReader

LARGEST = 128  # pixels of the longer side


class Frames:
    """Reads frames of one split; small ones, in colour."""

    def __init__(self, info: DatasetInfo, split: str):
        self._reader = functools.cache(lambda dataset: ClipReader(info, dataset, split))

    def read(self, dataset: str, episode: int, times: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3), no side above LARGEST; `times` ascending, int (N,).

        Raises DataError for a record that cannot be read.
        """
        reader = self._reader(dataset)
        records = np.flatnonzero(reader.index[:, 0] == episode)
        starts = reader.index[records, 1]
        of = records[np.minimum(starts.searchsorted(times, side="right"), len(records)) - 1]
        found = []
        for record in np.unique(of):
            offsets = times[of == record] - reader.index[record, 1]
            found.append(reader.clip(record).decode_frames(offsets))
        return np.stack([_small(frame) for frame in np.concatenate(found)])


def _small(frame: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) -> (H', W', 3)."""
    picture = Image.fromarray(frame[..., :3] if frame.shape[-1] >= 3 else frame[..., 0])
    picture = picture.convert("RGB")
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    return np.asarray(picture)
