"""Opening a world by the path of its checkpoint, and the latent action model whose codes it obeys.

    world = open_world("runs/dynamics")        # or runs/doom, a checkpoint of a latent action model
    lam = lam_of(world)

A world says whose codes it obeys by an attribute `lam`, {"checkpoint", "step", "fingerprint"}; one
that holds this model has it as `latent_actions`.
"""

from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.load import LAM, kind_of, load, load_as
from flexlam_jax.world.lam_world import LamWorld
from flexlam_jax.world.world import World


def open_world(path: Any, step: int | None = None) -> World:
    """The world of a checkpoint: a model of dynamics, or a latent action model's decoder, iterated.

    Raises:
      CheckpointError, UserError: as `flexlam_jax.load`, or a model that cannot be played.
    """
    loaded = load(path, step)
    if isinstance(loaded, LoadedLam):
        return LamWorld(loaded, str(path))
    if isinstance(loaded, World):
        return loaded
    raise UserError(
        f"{path} holds a model of kind {kind_of(path, step)!r}, which is no world that can be "
        "played; give a checkpoint of dynamics, or of a latent action model"
    )


def lam_of(world: Any, given: str = "") -> LoadedLam:
    """The latent action model whose codes a world obeys.

    Args:
      given: where it lies now; "" for where the world says it lay.

    Raises:
      UserError: the world does not say where, or the model there is another one.
      CheckpointError: as `flexlam_jax.load`.
    """
    held = getattr(world, "latent_actions", None)
    if held is not None and not given:
        return held
    source = dict(getattr(world, "lam", None) or {})
    path = given or str(source.get("checkpoint") or "")
    if not path:
        raise UserError(
            "the world does not say where the latent action model lies whose codes it obeys; give "
            "it as --lam"
        )
    expected = codes_of(world)
    lam = load_as(LAM, path, None if given else source.get("step"))
    if expected and lam.fingerprint() != expected:
        raise UserError(
            f"the world obeys the codes of the latent action model {expected[:12]}, step "
            f"{source.get('step', 'unknown')}, and {path} holds {lam.fingerprint()[:12]}, step "
            f"{lam.step}; give the model that it was trained with"
        )
    return lam


def codes_of(world: Any) -> str:
    """Fingerprint of the latent action model whose codes a world obeys; "" where it does not say."""
    held = getattr(world, "latent_actions", None)
    if held is not None:  # Trained on beside the world, it may differ from the one that was read.
        return str(held.fingerprint())
    return str((getattr(world, "lam", None) or {}).get("fingerprint") or "")
