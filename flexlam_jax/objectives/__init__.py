"""Losses as pure functions of (model outputs, batch), and the Objectives that the training loop runs."""

from flexlam_jax.objectives.lam import lam_objective

__all__ = ["lam_objective"]
