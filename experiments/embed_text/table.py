"""Makes a table of sentences, or adds to the one that is there."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.embed_text.encoder import SentenceEncoder
from flexlam_jax.errors import UserError
from flexlam_jax.models.text_table_file import (
    SentenceTable,
    plain_sentence,
    read_table,
    write_table,
)

_ALIKE = 1e-3  # Of the largest number: other libraries and processors round otherwise.


def add_sentences(
    out: str, sentences: Sequence[str], open_encoder: Callable[[], SentenceEncoder]
) -> str:
    """Writes the vectors of all sentences that the table in file `out` lacks, and keeps the others.

    The encoder is opened where there are some. Returns what was done, for people.

    Raises:
      UserError: no sentences; a file that is another thing, or of another encoder, which stays as
        it is.
    """
    table = read_table(out) if Path(out).exists() else None
    wanted = [one for one in dict.fromkeys(map(plain_sentence, sentences)) if one]
    if not wanted:
        raise UserError("these flags say no sentence; give --data, --suite or --sentences that do")
    lacking = table.lacking(wanted) if table else wanted
    if not lacking:
        return f"{out}: all {len(wanted)} sentences are there"
    encoder = open_encoder()
    if table is None:
        vectors = encoder.encode(lacking)
        table = SentenceTable(
            tuple(lacking), vectors, encoder.name, encoder.fingerprint, encoder.versions, out
        )
    else:
        table = table.with_rows(lacking, _beside(table, encoder, lacking))
    write_table(out, table)
    return (
        f"{out}: {len(table.sentences)} sentences of {table.width} numbers, {len(lacking)} of them "
        f"new, by {table.encoder} ({table.fingerprint[:12]}; {encoder.versions})"
    )


def _beside(table: SentenceTable, encoder: SentenceEncoder, lacking: list[str]) -> np.ndarray:
    """Vectors of sentences that belong beside those of the table."""
    if encoder.fingerprint != table.fingerprint:
        raise UserError(
            f"--out={table.place} holds vectors of {table.encoder} ({table.fingerprint[:12]}), and "
            f"--encoder is {encoder.name} ({encoder.fingerprint[:12]}); give another --out, or the "
            "same encoder"
        )
    again, *vectors = encoder.encode([table.sentences[0], *lacking])
    known = table.vectors[0]
    if np.abs(again - known).max() > _ALIKE * np.abs(known).max():
        raise UserError(
            f"--out={table.place} was written with {table.versions}; {encoder.versions} gives other "
            f"vectors of the same sentence ({table.sentences[0]!r}); use those versions, or give "
            "another --out"
        )
    return np.stack(vectors)
