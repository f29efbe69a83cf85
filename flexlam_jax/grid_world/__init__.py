"""A grid world with a noise row, and a small latent action model of it (arXiv 2506.15691).

Everything about it can be enumerated, so that its losses and informations are exact.
"""
