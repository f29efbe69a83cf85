"""Which kinds of models can be exported, and by what."""

import importlib
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.loading.load import kind_of, load
from flexlam_jax.serving.functions import SENTENCES, Exported, ExportSettings

# Kind -> module with `exported(model, settings)`.
EXPORTERS = {
    "lam": "flexlam_jax.serving.lam",
    "lam_finetune": "flexlam_jax.serving.lam",
    "vector_lam": "flexlam_jax.serving.lam",
    "translator": "flexlam_jax.serving.translator",
    "behaviour_cloning": "flexlam_jax.serving.policies",
    "token_policy": "flexlam_jax.serving.policies",
    "policy": "flexlam_jax.serving.policies",
    "tokenizer": "flexlam_jax.serving.tokenizer",
    "dynamics": "flexlam_jax.serving.world",
}
# Kind -> why it has no functions of fixed shapes.
REFUSED = {
    "hilam": "its chunks are of any length, and a step of it needs a state that grows; cut skills "
    "with flexlam_jax.load(path).segment"
}


def check_kind(path: Any, step: int | None = None) -> str:
    """The kind of a checkpoint that can be exported.

    Raises:
      UserError: one that cannot, with what can.
      CheckpointError: as `flexlam_jax.load`.
    """
    kind = kind_of(path, step)
    if kind not in EXPORTERS:
        why = REFUSED.get(kind, "nobody has said which functions of it there are")
        raise UserError(
            f"{path} holds a model of kind {kind!r}, which is not exported: {why}. Kinds that are: "
            f"{', '.join(EXPORTERS)}"
        )
    return kind


def exported_of(path: Any, step: int | None, settings: ExportSettings) -> tuple[Exported, dict]:
    """(what is exported of a checkpoint, which one it is).

    Raises:
      UserError, CheckpointError: as `check_kind`; sentences for a model that is told none, or none
        for one that is.
    """
    kind = check_kind(path, step)
    model = load(path, step)
    found = importlib.import_module(EXPORTERS[kind]).exported(model, settings)
    if settings.sentences and SENTENCES not in found.arrays:
        raise UserError(f"{path}: models of kind {kind} are told no sentences; leave them out")
    # A world's `step` is what is played; a translator has none.
    number = getattr(model, "step_number", getattr(model, "step", None))
    source = {"kind": kind, "checkpoint": str(path), "step": number}
    return found, source | {"fingerprint": found.fingerprint}
