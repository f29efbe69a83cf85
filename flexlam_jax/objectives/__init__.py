"""Losses as pure functions, and the Objectives that the training loop runs."""

from flexlam_jax.objectives.lam import lam_objective

__all__ = ["lam_objective"]
