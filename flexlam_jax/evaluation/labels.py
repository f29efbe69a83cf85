"""How many labels: a number, a share of the transitions there are, or all of them.

Which ones is `probes.label_draws`: the first n of a random order, so that smaller sets are nested
in larger ones.
"""

import math
from fractions import Fraction

ALL = None
Labels = int | Fraction | None  # a number, a share in (0, 1], or ALL
_LONGEST = 18  # characters; no count and no share needs more


def read_labels(text: str) -> Labels:
    """ "256", "0.025%" or "all", as people write it.

    Raises:
      ValueError: anything else, a number below 1 or a share outside 0 % to 100 %.
    """
    if text == "all":
        return ALL
    number, percent, rest = text.partition("%")
    whole, _, decimals = number.partition(".")
    digits = (whole + decimals) if percent else number
    if not rest and digits.isascii() and digits.isdigit() and len(number) <= _LONGEST:
        value = Fraction(number) / 100 if percent else int(number)
        if 0 < value and (value <= 1 or not percent):
            return value
    raise ValueError(f"{text[:40]!r} is neither a positive integer nor 'all' nor a share as 0.025%")


def count_of(labels: Labels, available: int) -> int:
    """How many of `available` transitions that is; a share is rounded up. May be more than those."""
    if labels is ALL:
        return available
    return math.ceil(labels * available) if isinstance(labels, Fraction) else labels


def name_of(labels: Labels) -> str:
    """As people write it; `read_labels` reads it back."""
    if labels is ALL:
        return "all"
    return f"{float(labels * 100):.15g}%" if isinstance(labels, Fraction) else str(labels)
