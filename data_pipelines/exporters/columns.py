"""The latent columns of a frame: what they are, and what stands where there is no transition.

Row t is of the transition of the frames t and t + gap. The last `gap` frames of an episode begin
none: they hold the empty prefix (keep 0, every slot the null latent, every id the null id) and
`is_pad` is true. So whoever reads slots below `keep` alone needs no other mask.

Dimension keys: N rows of an episode, K slots, D slot width.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.sidecar_manifest import AGAIN, Facts
from data_pipelines.typed_json import as_type

CODES, IDS, KEEP, IS_PAD = "codes", "ids", "keep", "is_pad"


@dataclasses.dataclass(frozen=True)
class LatentFacts:
    """Whose latents these are, as their sidecar says.

    model: fingerprint.  step: of its training.  gap: frames of a transition.  codebook_size: None
    for continuous slots, which have no ids.  budgets: prefix lengths that it was trained on.  null:
    the latent (D,) of a slot that is not kept.  keep: what `keep` says of every transition; None
    where it was chosen for each, by a tolerance in dB.
    """

    model: str
    step: int
    gap: int
    slots: int
    slot_width: int
    codebook_size: int | None
    budgets: tuple[int, ...]
    null: tuple[float, ...]
    keep: int | None
    tolerance: float | None = None

    @property
    def null_id(self) -> int | None:
        """The id of a slot that is not kept."""
        return self.codebook_size

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, without those that these latents cannot have."""
        ids = () if self.codebook_size is None else (IDS,)
        return (CODES, *ids, KEEP, IS_PAD)


@dataclasses.dataclass(frozen=True)
class _MadeBy:
    """What `experiments.extract_latents` writes into a sidecar's `made_by`."""

    model: str
    step: int
    slots: int
    slot_width: int
    codebook_size: int | None
    budgets: tuple[int, ...]
    null: tuple[float, ...]


def latent_facts(
    facts: Facts, keep: int | None, where: str, *, tolerance: float | None = None
) -> LatentFacts:
    """What a sidecar says of its latents. keep: None for all slots, if there is no tolerance.

    Raises DataError for a sidecar that holds no latents, and for `keep` outside 0..K.
    """
    if facts.kind != "latents" or facts.alignment != "transition" or facts.gap is None:
        raise DataError(
            f"{where}: holds {facts.kind!r}, a row per {facts.alignment}, and no latent actions; "
            "write these with experiments.extract_latents"
        )
    known = {field.name for field in dataclasses.fields(_MadeBy)}
    given = {key: value for key, value in facts.made_by.items() if key in known}
    made = as_type(given, _MadeBy, where=f"{where}, made_by", remedy=AGAIN)
    if keep is not None and not 0 <= keep <= made.slots:
        raise DataError(
            f"keep is {keep}, and these latents have {made.slots} slots; give 0 to that"
        )
    if keep is None and tolerance is None:
        keep = made.slots
    return LatentFacts(**dataclasses.asdict(made), gap=facts.gap, keep=keep, tolerance=tolerance)


def latent_rows(
    facts: LatentFacts,
    length: int,
    slots: np.ndarray,
    ids: np.ndarray | None,
    keep: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The columns of an episode of `length` frames from its transitions, in order.

    Args:
      slots: float32 (N - gap, K, D).  ids: int (N - gap, K), None for continuous slots.  keep: int
        (N - gap,), None for what the facts say of all.

    Returns:
      codes float32 (N, K, D), not null-filled where there is a transition; ids int64 (N, K), where
      there are; keep int64 (N,); is_pad bool (N,).
    """
    count = len(slots)
    null = np.array(facts.null, np.float32)
    rows = {CODES: np.tile(null, (length, facts.slots, 1))}
    rows[CODES][:count] = slots
    if facts.null_id is not None:
        rows[IDS] = np.full((length, facts.slots), facts.null_id, np.int64)
        rows[IDS][:count] = ids
    rows[KEEP] = np.zeros(length, np.int64)
    rows[KEEP][:count] = facts.keep if keep is None else keep
    rows[IS_PAD] = np.arange(length) >= count
    return {name: rows[name] for name in facts.columns}
