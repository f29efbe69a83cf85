"""Quantisers behind one interface (see base.py); QUANTIZERS maps the config's `kind` to them."""

from flexlam_jax.models.quantizers.base import Quantized
from flexlam_jax.models.quantizers.continuous import Gaussian, Identity
from flexlam_jax.models.quantizers.fsq import FSQ
from flexlam_jax.models.quantizers.vq import VQ

QUANTIZERS = {"none": Identity, "gaussian": Gaussian, "fsq": FSQ, "vq": VQ}

__all__ = ["QUANTIZERS", "FSQ", "VQ", "Gaussian", "Identity", "Quantized"]
