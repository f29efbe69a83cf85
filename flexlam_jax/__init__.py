"""Latent action models in JAX/Flax.

    lam = flexlam_jax.load("gs://bucket/run")          # or a local work directory
    codes = lam.encode(frames, next_frames, keep=4)    # (B, K, D), slots from 4 on are the null latent

`load` and `load_translator` are imported on first use, so that importing the package costs nothing.
"""

from flexlam_jax.version import __version__

__all__ = ["__version__", "load", "load_translator"]


def __getattr__(name: str):
    if name in ("load", "load_translator"):
        from flexlam_jax import loading
        return getattr(loading, name)
    raise AttributeError(f"module 'flexlam_jax' has no attribute {name!r}")
