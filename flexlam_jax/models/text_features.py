"""What a sentence becomes: the kinds of `model.text`, all of which need no network and no other library.

A kind is a dataclass of settings with

  width                                          E, 0 for a policy that reads no text
  features(texts) -> float32 (N, E)              on the host

`HashedNgrams` depends on the text and its width alone, in every process and version of Python.
Feature hashing: Weinberger et al., arXiv 0902.2206. text_table.py: vectors of a pretrained encoder.

Dimension keys: N texts, E width.
"""

import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from flexlam_jax.config.settings import setting
from flexlam_jax.models.text_table import TEXT_WIDTH, TextTable

_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class HashedNgrams:
    """Signed hashes of words, rows of words and letter triples. Vectors of length 1; zero for a text
    without a word. Case and punctuation do not count.
    """

    width: int = setting(256, range=TEXT_WIDTH, help="numbers that stand for a sentence")

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (N, E)."""
        out = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(out, texts, strict=True):
            for ngram in ngrams(text):
                place, sign = _hashed(ngram, self.width)
                row[place] += sign
            row /= max(float(np.linalg.norm(row)), 1e-6)
        return out


@dataclasses.dataclass(frozen=True)
class NoText:
    """For a policy that is told its task otherwise, by a skill say."""

    width = 0

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (N, 0)."""
        return np.zeros((len(texts), 0), np.float32)


TEXT_FEATURES = {"hashed": HashedNgrams, "table": TextTable, "none": NoText}


def ngrams(text: str) -> Iterator[str]:
    """Words, rows of two and three neighbouring words and, inside words, triples of letters.

    Rows tell "the red on the blue" from "the blue on the red", triples bring "drawer" near to
    "drawers". Each begins with its kind, so that a word and a triple never are the same.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    for word in words:
        yield f"word {word}"
        edged = f"<{word}>"
        yield from (f"letters {edged[i : i + 3]}" for i in range(len(edged) - 2))
    for length in (2, 3):
        for first in range(len(words) - length + 1):
            yield f"row {' '.join(words[first : first + length])}"


def _hashed(ngram: str, width: int) -> tuple[int, float]:
    """(place, sign) of an n-gram; `hash` would differ from process to process."""
    number = int.from_bytes(hashlib.blake2b(ngram.encode(), digest_size=8).digest(), "little")
    return number % width, 1.0 if number >> 63 else -1.0
