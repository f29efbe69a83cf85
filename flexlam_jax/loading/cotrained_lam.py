"""The latent action model that was trained with the dynamics of a world, by itself: `LoadedLam`.

lam = load_as("lam", "runs/dynamics")      # `load` gives the world, which has it as latent_actions
"""

from collections.abc import Mapping
from typing import Any

import jax

from flexlam_jax.checkpoints.params import restore_params, saved_config
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.lam import LoadedLam, expected_variables
from flexlam_jax.models.heads import DETACHED_HEADS, HEADS
from flexlam_jax.models.lam import build_lam

MODEL = "lam"  # Where its parameters lie, and its section; see objectives/cotraining.py.
# Heads of other terms of its loss served training, whoever's they are.
MODEL_HEADS = f"{MODEL}/{HEADS}", f"{MODEL}/{DETACHED_HEADS}"
_TOKENIZER = "tokenizer"


def from_checkpoint(path: Any, step: int | None = None) -> LoadedLam:
    """The model of a run of kind "dynamics"; arguments and errors as `flexlam_jax.load`.

    Raises:
      CheckpointError: also where the run froze its model, which then lies elsewhere.
    """
    config = saved_config(path, step)
    if not is_cotrained(config):
        lies = (config.get(MODEL) or {}).get("checkpoint")
        raise CheckpointError(
            f"{path} holds dynamics that trained no latent action model of their own; "
            + (f"give the one that they obey, {lies}" if lies else "they obey none")
        )
    variables, config, step = restore_params(path, step=step, without=(_TOKENIZER,))
    return lam_in(variables, config, step)


def is_cotrained(config: Mapping[str, Any]) -> bool:
    """Whether the run of a config of dynamics trained its latent action model."""
    return bool((config.get(MODEL) or {}).get("train"))


def expected_beside(config: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """{collection: {"lam": abstract variables}} of such a run's checkpoint; raises as
    `expected_variables`."""
    whole = expected_variables(_own_config(config), path)
    return {collection: {MODEL: tree} for collection, tree in whole.items()}


def lam_in(variables: Mapping[str, Any], config: Mapping[str, Any], step: int) -> LoadedLam:
    """The model among the variables of such a run."""
    own = {name: tree[MODEL] for name, tree in variables.items() if MODEL in tree}
    own, config = jax.device_put(own, jax.local_devices()[0]), _own_config(config)
    return LoadedLam(build_lam(config["model"]), own, config, step)


def _own_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run that trains the model alone, on the same data."""
    own = config[MODEL]
    return {**config, "kind": MODEL, "model": own["model"], "loss": own["loss"]}
