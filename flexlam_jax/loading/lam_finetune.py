"""A fine-tuned latent action model is a latent action model: `LoadedLam`, without its translator."""

from typing import Any

import jax

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.vector_lam import LoadedVectorLam
from flexlam_jax.models.lam import build_lam

MODEL = "lam"  # Where the parameters of its model lie; see objectives/lam_finetune.py.


def from_checkpoint(path: Any, step: int | None = None) -> LoadedLam:
    """The model of a run of kind "lam_finetune"; arguments and errors as `flexlam_jax.load`."""
    variables, config, step = restore_params(path, step=step)
    own = {name: tree[MODEL] for name, tree in variables.items() if MODEL in tree}
    own = jax.device_put(own, jax.local_devices()[0])
    vectors = config["model"]["encoder"]["kind"] == "vector"
    return (LoadedVectorLam if vectors else LoadedLam)(
        build_lam(config["model"]), own, config, step
    )
