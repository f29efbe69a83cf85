"""The episodes of a split, cut into skills group by group.

Dimension keys: B episodes of a group, T steps, F numbers of a latent action, N rows of a group.
"""

import dataclasses

import numpy as np

from flexlam_jax.loading.hilam import LoadedHiLam
from flexlam_jax.models.hilam import Segmentation

# Episodes run together in groups of the first size that fits, sizes of loading.buckets: attention
# takes memory by the square of the steps.
_SIZES, _MOST = (64, 8), 2**25


@dataclasses.dataclass(frozen=True)
class Group:
    """Episodes that follow one another in a split.

    Attributes:
      episodes: int64 (B,), their numbers.
      rows: of the split that hold their transitions, one after another.
      latents: float32 (B, T, F).      valid: bool (B, T), at least one step in each row.
    """

    episodes: np.ndarray
    rows: range
    latents: np.ndarray
    valid: np.ndarray

    def segment(self, skills: LoadedHiLam) -> Segmentation:
        """As `LoadedHiLam.segment`; beyond valid steps it means nothing."""
        return skills.segment(self.latents, self._read())

    def encode(self, skills: LoadedHiLam) -> tuple[np.ndarray, ...]:
        """As `LoadedHiLam.encode`."""
        return skills.encode(self.latents, self._read())

    def flat(self, array: np.ndarray) -> np.ndarray:
        """(B, T, ...) -> (N, ...), the valid steps in the order of the rows."""
        return array[self.valid]

    def _read(self) -> np.ndarray:
        """Two steps of every episode, as a model reads no fewer: the first feels nothing of it."""
        return self.valid | (np.arange(self.valid.shape[1]) < 2)


class Episodes:
    """A split's episodes in groups of a fixed size, so that each is always computed with the same
    others, whatever part of the split is asked for, and has the same numbers to the bit.

    Attributes:
      counts: int64 (E,), the transitions of each episode that has one.
    """

    def __init__(
        self,
        skills: LoadedHiLam,
        latents: np.ndarray,
        numbers: np.ndarray,
        counts: np.ndarray,
        begin: np.ndarray,
    ):
        """Of all episodes of a split in order.

        Args:
          latents: slots (R, K, D) or vectors (R, F).
          numbers, counts: int64, of each episode, and how many transitions it has.
          begin: int64, the row of `latents` of each one's first.
        """
        held = counts > 0
        self._skills, self._latents = skills, latents
        self.counts, self._numbers, self._begin = counts[held], numbers[held], begin[held]
        self._first = np.cumsum(self.counts) - self.counts
        longest = int(self.counts.max(initial=1))
        self._size = next((n for n in _SIZES if n * longest**2 <= _MOST), 1)

    def __len__(self) -> int:
        """How many groups."""
        return -(-len(self.counts) // self._size)

    def group(self, number: int) -> Group:
        """The group of that number."""
        of = slice(number * self._size, (number + 1) * self._size)
        counts, first = self.counts[of], int(self._first[of][0])
        rows = range(first, first + int(counts.sum()))
        codes = self._skills.config["codes"]
        read = [self._latents[at : at + n] for at, n in zip(self._begin[of], counts, strict=True)]
        slots = np.concatenate(read).reshape(-1, codes["slots"], codes["slot_width"])
        latents = self._skills.latents(slots)
        valid = np.arange(max(2, counts.max())) < counts[:, None]
        padded = np.zeros((*valid.shape, latents.shape[-1]), np.float32)
        padded[valid] = latents
        return Group(self._numbers[of], rows, padded, valid)

    def groups_with(self, rows: range) -> range:
        """The numbers of the groups that hold these rows of the split."""
        first, last = self._first.searchsorted([rows.start, rows.stop - 1], side="right") - 1
        return range(int(first) // self._size, int(last) // self._size + 1)
