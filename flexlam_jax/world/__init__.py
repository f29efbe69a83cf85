"""Worlds that are played by latent actions: what one is, and models as one."""
