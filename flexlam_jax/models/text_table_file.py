"""Sentences and the vectors that an encoder gave of them, in one file that is read without unpickling.

An .npz of two arrays: `vectors`, float32 (N, E), and `about`, the bytes of a JSON object with

  format        1
  encoder       what the encoder is called
  fingerprint   sha256 of its parameters
  versions      of the libraries that ran it
  sentences     N different texts, as `plain_sentence` writes them
  vectors       sha256 of the other array
  sha256        of the fields above

Dimension keys: N sentences, E width.
"""

import dataclasses
import functools
import hashlib
import io
import json
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from flexlam_jax.errors import DamagedFile, UserError
from flexlam_jax.files import reachable, write_atomically
from flexlam_jax.typed_json import content_hash, parse_json

FORMAT = 1
_AGAIN = "restore it, or make it again with experiments.embed_text"


def plain_sentence(text: str) -> str:
    """The form in which sentences are encoded and looked up.

    Case, spaces and a full stop at the end do not count: all that differ in these have one vector.
    """
    words = unicodedata.normalize("NFKC", text).lower().split()
    return " ".join(words).removesuffix(".").rstrip()


@dataclasses.dataclass(frozen=True, eq=False)
class SentenceTable:
    """See the head of this file; `place`: the file that it was read from, for messages."""

    sentences: tuple[str, ...]
    vectors: np.ndarray
    encoder: str
    fingerprint: str
    versions: str
    place: str = ""

    @property
    def width(self) -> int:
        """E."""
        return self.vectors.shape[1]

    def lacking(self, texts: Iterable[str]) -> list[str]:
        """Those that it has no vector of, as `plain_sentence` writes them, each once."""
        wanted = dict.fromkeys(plain_sentence(text) for text in texts)
        return [text for text in wanted if text and text not in self._rows]

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, E) of n texts; zero for an empty one, which says nothing.

        Raises:
          UserError: a sentence that the table lacks.
        """
        if lacking := self.lacking(texts):
            more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
            raise UserError(
                f"{self.place} has no vector of the sentence {lacking[0]!r}{more}; `python -m "
                f"experiments.embed_text --encoder={self.encoder} --out={self.place}` adds those "
                "that its flags --data, --suite or --sentences say"
            )
        out = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(out, texts, strict=True):
            place = self._rows.get(plain_sentence(text))
            if place is not None:
                row[:] = self.vectors[place]
        return out

    def hash_of(self, texts: Sequence[str]) -> str:
        """sha256 of the vectors of these sentences, whatever their order. Raises as `features`."""
        said = sorted({plain_sentence(text) for text in texts})
        return content_hash({text: _sha256(self.features([text])) for text in said})

    def with_rows(self, sentences: Sequence[str], vectors: np.ndarray) -> "SentenceTable":
        """The table and sentences that it lacks, with their vectors (n, E), after its own."""
        return dataclasses.replace(
            self,
            sentences=(*self.sentences, *sentences),
            vectors=np.concatenate([self.vectors, vectors]),
        )

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {sentence: row for row, sentence in enumerate(self.sentences)}


@dataclasses.dataclass(frozen=True)
class _About:
    encoder: str
    fingerprint: str
    versions: str
    sentences: tuple[str, ...]
    vectors: str
    sha256: str


def write_table(path: Any, table: SentenceTable) -> None:
    """Writes the file, whole or not at all; the same table is the same bytes.

    Raises:
      UserError: it cannot be written.
    """
    vectors = np.ascontiguousarray(table.vectors, np.float32)
    about: dict[str, Any] = {
        "format": FORMAT,
        "encoder": table.encoder,
        "fingerprint": table.fingerprint,
        "versions": table.versions,
        "sentences": list(table.sentences),
        "vectors": _sha256(vectors),
    }
    about["sha256"] = content_hash(about)
    text = np.frombuffer(json.dumps(about, indent=1).encode(), np.uint8)
    write_atomically(path, lambda stream: np.savez(stream, about=text, vectors=vectors))


def read_table(path: Any) -> SentenceTable:
    """The table in a file, local or on a bucket, verified.

    Raises:
      UserError: there is none.
      DamagedFile: it is something else, or not what was written.
    """
    try:
        data = reachable(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"the table of sentences {path} cannot be read ({error.strerror or error}); "
            f"`python -m experiments.embed_text --out={path}` writes one"
        ) from error
    text, vectors = _arrays(path, data)
    values = parse_json(text, dict[str, Any], where=str(path), remedy=_AGAIN)
    if values.get("format") != FORMAT:
        raise DamagedFile(
            f"{path} is a table of sentences of format {values.get('format')!r}, this program reads "
            f"{FORMAT}; update flexlam_jax, or make it again with experiments.embed_text"
        )
    about = parse_json(text, _About, where=str(path), remedy=_AGAIN)
    right = vectors.dtype == np.float32 and vectors.ndim == 2
    if not right or len(vectors) != len(set(about.sentences)):
        raise DamagedFile(
            f"{path} is damaged: its vectors are {vectors.dtype} {vectors.shape}, of "
            f"{len(about.sentences)} sentences; {_AGAIN}"
        )
    if about.sha256 != content_hash(values) or about.vectors != _sha256(vectors):
        raise DamagedFile(f"{path} is damaged: it does not hold what was written; {_AGAIN}")
    return SentenceTable(
        about.sentences, vectors, about.encoder, about.fingerprint, about.versions, str(path)
    )


def _arrays(path: Any, data: bytes) -> tuple[bytes, np.ndarray]:
    """(about, vectors) of the bytes of a file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:  # Nothing packed: it cannot grow.
            if sum(member.file_size for member in archive.infolist()) > len(data):
                raise ValueError("its arrays are packed")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return arrays["about"].tobytes(), arrays["vectors"]
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise DamagedFile(
            f"{path} is no table of sentences, or a damaged one: {error}; {_AGAIN}"
        ) from error


def _sha256(vectors: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest()
