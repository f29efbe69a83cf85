"""How much of its code a latent action model uses, slot by slot."""

from typing import Any

from flexlam_jax.evaluation import codes
from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.reports.results import Column, Table


def code_usage(lam: Any, data: Data) -> Table:
    """One row per slot that training ever used; see codes.py for its keys."""
    read, used = data.test["codes"], max(lam.budgets)
    if read["ids"] is None:
        rows = codes.continuous_usage(read["slots"][:, :used], data.test.episode)
        columns = [Column("slot", "slot"), Column("spread", "spread", 3)]
    else:
        ids = read["ids"][:, :used]
        rows = codes.discrete_usage(ids, lam.codebook_size, data.test.episode)
        columns = [
            Column("slot", "slot"),
            Column("used", "codes used"),
            Column("perplexity", "perplexity"),
            Column("entropy", "bits"),
            Column("cumulative_bits", "bits so far"),
        ]
    return Table("Code usage per slot", rows, columns, index=("slot",))


CODES = Evaluator("codes", code_usage, reads=("codes",))
