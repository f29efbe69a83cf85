"""How many codes are in use, by slot and by prefix.

Dimension keys: P transitions, K slots.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flexlam_jax.evaluation.codes import discrete_usage
from flexlam_jax.world.typed_codes import code_book


def usage_rows(
    ids: np.ndarray, codebook_size: int, budgets: Sequence[int], episode: np.ndarray
) -> list[dict[str, Any]]:
    """A row per slot, then one per budget whose codes are prefixes of k slots.

    Rows {what, used, of, perplexity, entropy}: distinct codes, how many there could be, and Numbers
    over episodes.

    Args:
      ids: (P, K).      budgets: k, those above one slot get a row.
    """
    rows = [
        {"what": f"slot {row['slot']}", "of": row["codebook_size"], **_kept(row)}
        for row in discrete_usage(ids, codebook_size, episode)
    ]
    for k in budgets:
        if k > 1:
            book = code_book(ids, k)
            (row,) = discrete_usage(book.code[:, None], len(book.ids), episode)
            rows.append({"what": f"first {k} slots", "of": codebook_size**k, **_kept(row)})
    return rows


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("used", "perplexity", "entropy")}
