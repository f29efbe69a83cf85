"""Sentences as the vectors that a pretrained encoder gave of them, looked up in a file.

The encoder runs once, by experiments.embed_text; training and acting read its table alone.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from flexlam_jax.config.ranges import TEXT, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.models.text_table_file import SentenceTable, read_table

TEXT_WIDTH = whole(8, 2**16)  # E, of every kind of text
FILE = "sentences.npz"  # the copy of a run, beside the steps of its checkpoints


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A kind of `model.text`, see text_features.py.

    A run finds `width` and `encoder` in the file. Any table of that encoder serves its policy, so
    that sentences can be added to one.
    """

    path: str = setting("", range=TEXT, help="table that experiments.embed_text wrote")
    width: int = setting(384, range=TEXT_WIDTH, help="numbers that stand for a sentence")
    encoder: str = setting("", range=TEXT, help="sha256 of its encoder's parameters, found there")

    @functools.cached_property
    def table(self) -> SentenceTable:
        """The file, read at the first use.

        Raises:
          ConfigError: no path.
          UserError: as `read_table`; the vectors of another encoder.
        """
        if not self.path:
            raise ConfigError(
                "config.model.text.kind='table' needs config.model.text.path, a file that `python "
                "-m experiments.embed_text --data=DIR --encoder=FOLDER --out=FILE` writes"
            )
        table = read_table(self.path)
        if self.encoder not in ("", table.fingerprint):
            raise UserError(
                f"{self.path} holds vectors of another encoder ({table.encoder}, "
                f"{table.fingerprint[:12]}) than the one that is read ({self.encoder[:12]})"
            )
        return table

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, E) of n texts, zero for an empty one.

        Raises:
          ConfigError, UserError: as `table`; a sentence that it lacks.
        """
        return self.table.features(texts)
