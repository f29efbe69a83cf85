"""Any checkpoint of this package as the object that its kind is read with.

    lam = flexlam_jax.load("runs/doom")                     # LoadedLam
    translator = flexlam_jax.load("runs/translator")        # LoadedTranslator

The config of a checkpoint names its kind; KINDS says which module reads it, by

    from_checkpoint(path, step) -> object     reads with `checkpoints.params.restore_params`

A kind of your own, outside this package, is registered before it is loaded:

    flexlam_jax.loading.load.register("kitchen", "my_lab.loading.kitchen")

A checkpoint never says itself which module is imported: it may be somebody else's. Parameters only:
optimizer state and data position are never read, and no training code is imported.
"""

import importlib
from typing import Any

from flexlam_jax.checkpoints.params import saved_config
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading import early_translator
from flexlam_jax.loading.actions import Actions
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.world.world import World

LAM = "lam"  # Also where a config names no kind: early ones had one only.
TRANSLATOR = "translator"
KINDS = {
    LAM: "flexlam_jax.loading.lam",
    TRANSLATOR: "flexlam_jax.loading.translator",
    "behaviour_cloning": "flexlam_jax.loading.behaviour_cloning",
    "token_policy": "flexlam_jax.loading.token_policy",
    "lam_finetune": "flexlam_jax.loading.lam_finetune",
    "vector_lam": "flexlam_jax.loading.vector_lam",
    "hilam": "flexlam_jax.loading.hilam",
    "policy": "flexlam_jax.loading.chunk_policy",
    "tokenizer": "flexlam_jax.loading.tokenizer",
    "dynamics": "flexlam_jax.loading.dynamics",
}
# What is loaded is all that the other kind is.
SERVES_AS = {"lam_finetune": LAM, "vector_lam": LAM}
# (kind, wanted): who reads the model of kind `wanted` that was trained with one of `kind`.
PARTS = {("dynamics", LAM): "flexlam_jax.loading.cotrained_lam"}


def register(kind: str, module: str) -> None:
    """Lets `load` read checkpoints of `kind` with `module`, a dotted path.

    Raises:
      ValueError: the kind is read by another module already.
    """
    if KINDS.setdefault(kind, module) != module:
        raise ValueError(f"kind {kind!r} is read by {KINDS[kind]} already; name yours otherwise")


def load(path: Any, step: int | None = None) -> Any:
    """Loads the model of a checkpoint.

    Args:
      path: work directory or its checkpoints folder; local or a bucket URL.
      step: training step; None takes the newest undamaged one.

    Returns:
      `LoadedLam`, `LoadedTranslator`, or what the module of the checkpoint's kind gives. Latent
      action models and worlds have `actions` too: codes by the names of true actions, see actions.py.

    Raises:
      CheckpointError (a ValueError): no checkpoint or step there, a damaged one, or one of a kind
        that is not known.
    """
    kind = kind_of(path, step)
    if kind not in KINDS:
        raise CheckpointError(
            f"{path} holds a model of kind {kind!r}, this program loads "
            f"{', '.join(sorted(KINDS))}; update flexlam_jax, or register your own kind with "
            "flexlam_jax.loading.load.register"
        )
    loaded = _from(KINDS[kind], path, step)
    # A name of its own: a condition would narrow `loaded` to the protocol, which has no `actions`.
    is_world = isinstance(loaded, World)
    if SERVES_AS.get(kind, kind) == LAM:
        loaded.actions = Actions(path, loaded.step)
    elif is_world:
        loaded.actions = Actions(path, getattr(loaded, "step_number", step))
    return loaded


def load_as(wanted: str, path: Any, step: int | None = None) -> Any:
    """`load` for code that can use one kind only; a latent action model that was trained with the
    dynamics of a world is read from their checkpoint.

    Raises:
      CheckpointError: as `load`, or a model of another kind.
    """
    kind = kind_of(path, step)
    if part := PARTS.get((kind, wanted)):
        loaded = _from(part, path, step)
        loaded.actions = Actions(path, loaded.step)
        return loaded
    if SERVES_AS.get(kind, kind) != wanted:
        raise CheckpointError(
            f"{path} holds a model of kind {kind!r}, where one of kind {wanted!r} is needed; "
            "flexlam_jax.load loads any"
        )
    return load(path, step)


def _from(module: str, path: Any, step: int | None) -> Any:
    return importlib.import_module(module).from_checkpoint(path, step)


def load_translator(path: Any) -> LoadedTranslator:
    """Loads what `experiments.align_translator` wrote; `load_as` for that kind."""
    return load_as(TRANSLATOR, path)


def kind_of(path: Any, step: int | None = None) -> str:
    """The kind of model in a checkpoint. Raises CheckpointError, as `load`."""
    if early_translator.is_one(path):
        return TRANSLATOR
    return saved_config(path, step).get("kind", LAM)
