"""Codes and actions of a split, kept for the next command that reads the same.

Encoding a split takes longer than fitting a translator to it, and a study fits many to one model.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.lam_inputs import Source
from experiments.progress_bar import progress
from flexlam_jax.evaluation.collect import Split, collect
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.files import write_atomically

_ORDER = ("episode", "t", "dataset", "rows")


def codes_and_actions(lams: dict[str, Any], source: Source, split: str, cache: str) -> Split:
    """Codes {"slots"} and actions of a split by the only model of `lams`.

    Args:
      cache: folder of what is kept, one file for each model, dataset folder, split and gap; "" for
        none.
    """
    ((name, lam),) = lams.items()
    path = _path(cache, lam.fingerprint(), source, split) if cache else None
    if path and path.exists():
        with np.load(path, allow_pickle=False) as kept:
            shared = {"codes": {"slots": kept["slots"]}, "action": kept["action"]}
            return Split(shared, {}, **{key: kept[key] for key in _ORDER})
    found = collect(
        lams,
        source.batches(split, actions=True),
        {field: FIELDS[field] for field in ("codes", "action")},
        name=f"the {split} split",
        tick=progress(f"encode {split}", source.count(split)),
    ).of(name)
    if path:
        arrays = {key: getattr(found, key) for key in _ORDER}
        arrays |= {"slots": found["codes"]["slots"], "action": found["action"]}
        write_atomically(path, lambda stream: np.savez(stream, **arrays))
    return found


def _path(cache: str, fingerprint: str, source: Source, split: str) -> Path:
    what = json.dumps([fingerprint, source.identity(), source.names, source.gap, split])
    return Path(cache).expanduser() / f"{hashlib.sha256(what.encode()).hexdigest()}.npz"
