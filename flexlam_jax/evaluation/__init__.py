"""Metrics that know no model, their intervals, and small fits; `lam` evaluates latent actions."""
