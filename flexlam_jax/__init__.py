"""Latent action models in JAX/Flax.

    lam = flexlam_jax.load("gs://bucket/run")          # or a local work directory
    codes = lam.encode(frames, next_frames, keep=4)    # (B, K, D), slots from 4 on are null

`load`, `load_translator` and `read_latents` are imported on first use, so that importing the
package costs nothing.
"""

from flexlam_jax.version import __version__

__all__ = ["__version__", "load", "load_translator", "read_latents"]


_LAZY = {
    "load": "flexlam_jax.loading.load",
    "load_translator": "flexlam_jax.loading.load",
    "read_latents": "flexlam_jax.latents",
}


def __getattr__(name: str):
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'flexlam_jax' has no attribute {name!r}")
