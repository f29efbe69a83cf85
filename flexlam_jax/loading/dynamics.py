"""A checkpoint of dynamics as the world that it is, with the models that it was trained with.

    world = flexlam_jax.load(path)             # work directory or its checkpoints folder

See world/token_world.py. The tokenizer and the latent action model are looked for where the run had
them, and where they lie as seen from the run; one with other parameters is refused. A latent action
model that was trained with the dynamics is part of the checkpoint.
"""

from typing import Any

import jax

from flexlam_jax.checkpoints.params import frozen_places, restore_params
from flexlam_jax.config.settings import read
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading.cotrained_lam import MODEL_HEADS, expected_beside, is_cotrained, lam_in
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.load import LAM, load_as
from flexlam_jax.models.dynamics import Dynamics
from flexlam_jax.models.dynamics_settings import ActionSettings, build_dynamics, clip_shapes
from flexlam_jax.world.token_world import TokenWorld

_OWN = "dynamics"  # Where its parameters lie; see objectives/dynamics.py.
_TOKENIZER = "tokenizer"  # Kind, section of the config and place of the parameters; as LAM.
_SECTIONS = ("data", "model", "tokens", "actions", "tokenizer", "lam", "sampling")


def from_checkpoint(path: Any, step: int | None = None) -> TokenWorld:
    """The world of a run; see `flexlam_jax.load`, whose arguments and errors these are.

    Raises:
      CheckpointError: also where the tokenizer or the latent action model cannot be found.
    """

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        model = _built(config, path)
        shapes = clip_shapes(model, read("actions", config["actions"], ActionSettings), 2)
        variables = jax.eval_shape(model.init, jax.random.key(0), *shapes)
        beside = expected_beside(config, path) if is_cotrained(config) else {}
        return {**beside, "params": {_OWN: variables["params"], **beside.get("params", {})}}

    found, config, step = restore_params(
        path, abstract, step, beside=MODEL_HEADS, without=(_TOKENIZER, LAM)
    )
    variables = {"params": jax.device_put(found["params"][_OWN], jax.local_devices()[0])}
    tokenizer = _referred(_TOKENIZER, config, path, step)
    lam = _latent_actions(found, config, path, step)
    return TokenWorld(_built(config, path), variables, config, step, tokenizer, lam)


def _built(config: dict[str, Any], path: Any) -> Dynamics:
    missing = [name for name in _SECTIONS if name not in config]
    if missing:
        raise CheckpointError(
            f"the config of the dynamics in {path} lacks the sections {', '.join(missing)}; train "
            "them again with experiments.train"
        )
    return build_dynamics(config["model"], config["tokens"], config["actions"])


def _latent_actions(found: Any, config: dict[str, Any], path: Any, step: int) -> LoadedLam | None:
    """The model whose codes the dynamics obey, None for none; the config is told where it lies."""
    if config["model"]["action"] != "latent":
        return None
    if not is_cotrained(config):
        return _referred(LAM, config, path, step)
    lam = lam_in(found, config, step)
    config[LAM] = {"checkpoint": str(path), "step": step, "fingerprint": lam.fingerprint()}
    return lam


def _referred(kind: str, config: dict[str, Any], path: Any, step: int) -> Any:
    """The model of a section, wherever it lies; the config is told where."""
    told, problems = config[kind], []
    for place in dict.fromkeys([*frozen_places(path, step, kind), told["checkpoint"]]):
        try:
            model = load_as(kind, place, told["step"])
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if model.fingerprint() == told["fingerprint"]:
            config[kind] = {**told, "checkpoint": place}
            return model
        problems.append(f"step {told['step']} in {place} is model {model.fingerprint()[:12]}.")
    raise CheckpointError(
        f"the dynamics in {path} were trained with the {kind} {told['fingerprint'][:12]}, step "
        f"{told['step']}, which is not found; restore that run, in its place or beside this one as it "
        f"was. {' '.join(problems)}"
    )
