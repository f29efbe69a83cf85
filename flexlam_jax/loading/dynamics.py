"""A checkpoint of dynamics as the world that it is, with the models that it was trained with.

    world = flexlam_jax.load(path)             # work directory or its checkpoints folder

See world/token_world.py. The tokenizer and the latent action model are looked for where the run had
them, and where they lie as seen from the run; one with other parameters is refused.
"""

from typing import Any

import jax

from flexlam_jax.checkpoints.params import frozen_places, restore_params
from flexlam_jax.config.settings import read
from flexlam_jax.errors import CheckpointError
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
        return {"params": {_OWN: variables["params"]}}

    found, config, step = restore_params(path, abstract, step, without=(_TOKENIZER, LAM))
    variables = {"params": jax.device_put(found["params"][_OWN], jax.local_devices()[0])}
    tokenizer = _referred(_TOKENIZER, config, path, step)
    lam = _referred(LAM, config, path, step) if config["model"]["action"] == "latent" else None
    return TokenWorld(_built(config, path), variables, config, step, tokenizer, lam)


def _built(config: dict[str, Any], path: Any) -> Dynamics:
    missing = [name for name in _SECTIONS if name not in config]
    if missing:
        raise CheckpointError(
            f"the config of the dynamics in {path} lacks the sections {', '.join(missing)}; train "
            "them again with experiments.train"
        )
    return build_dynamics(config["model"], config["tokens"], config["actions"])


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
