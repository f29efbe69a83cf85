"""Models: Flax Linen modules and pure functions, one idea per file. Start at `lam.py`."""

from flexlam_jax.models.lam import LamOutput, LatentActionModel, build_lam

__all__ = ["LamOutput", "LatentActionModel", "build_lam"]
