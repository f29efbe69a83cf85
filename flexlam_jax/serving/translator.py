"""Export of translators from latent actions to actions."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.models.translator import prefix_features
from flexlam_jax.serving.functions import ROWS, Argument, Exported, ExportSettings, Function


def exported(translator: LoadedTranslator, settings: ExportSettings) -> Exported:
    """translate."""
    del settings
    config = translator.config

    def call(codes: jax.Array) -> Mapping[str, jax.Array]:
        outputs = translator.network.apply(translator.variables, prefix_features(codes))
        return action_results(outputs, config.discrete)

    codes = Argument(
        "codes", (ROWS, config.slots, config.slot_width), np.float32, "null-filled slots, (B, K, D)"
    )
    function = Function(
        "translate",
        "the action that a latent action stands for",
        (codes,),
        action_meanings(config.discrete),
        call,
    )
    facts = {
        "action_names": list(config.action_names),
        "discrete": config.discrete,
        "budgets": list(config.budgets),
        "lam": config.lam,
    }
    return Exported((function,), parameters_hash(translator.variables), facts)


def action_results(outputs: jax.Array, discrete: bool) -> dict[str, jax.Array]:
    """What a network of actions gives, by name: logits and the likeliest action, or the action."""
    if not discrete:
        return {"action": outputs}
    return {"logits": outputs, "action": jnp.argmax(outputs, -1).astype(jnp.int32)}


def action_meanings(discrete: bool) -> dict[str, str]:
    """The meanings of `action_results`."""
    if not discrete:
        return {"action": "the action, float (B, A)"}
    return {"logits": "of each action, float (B, A)", "action": "the likeliest one, int (B,)"}
