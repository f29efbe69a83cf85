"""Flax Linen modules and the pure functions they are made of."""
