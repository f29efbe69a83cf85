"""The table of sentences of a chunk policy: what its run finds in it, and keeps of it.

Nothing here is for a policy of another kind of text.
"""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from experiments.data_sentences import data_sentences
from flexlam_jax.files import reachable
from flexlam_jax.models.baku import build_text
from flexlam_jax.models.text_table import FILE, TextTable


def with_text(config: Any, splits: Sequence[str]) -> ConfigDict:
    """The config with what its table says of `model.text`; as given without data, on paper.

    Raises:
      ConfigError, UserError: no table, a damaged one, one of another encoder, or one that lacks a
        sentence of these splits of the data.
    """
    config = ConfigDict(config.to_dict())
    text = build_text(config.model)
    if not isinstance(text, TextTable) or not _has_data(config):
        return config
    text.features(data_sentences(config.data, splits))
    config.model.text.width = text.table.width
    config.model.text.encoder = text.table.fingerprint
    return config


def text_hashes(config: Any, splits: Sequence[str]) -> dict[str, str]:
    """{"sentences": sha256} of the vectors that are read; whatever else the table holds is free."""
    text = build_text(config.model)
    if not isinstance(text, TextTable):
        return {}
    return {"sentences": text.table.hash_of(data_sentences(config.data, splits))}


def table_of(config: Any) -> dict[str, bytes]:
    """What `Task.beside` is: the table."""
    text = build_text(config.model)
    return {FILE: reachable(text.path).read_bytes()} if isinstance(text, TextTable) else {}


def _has_data(config: Any) -> bool:
    return bool(config.data.get("path") or config.data.get("mixture"))
