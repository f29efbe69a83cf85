"""Who plays: a behaviour of the simulator, a cloned policy, or a policy of latent actions."""

import dataclasses
from typing import Any

import flexlam_jax
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.simulator import TaskSpec
from experiments.lam_inputs import model_name
from flexlam_jax.acting.latent_policy import LatentPolicy
from flexlam_jax.acting.policy import Policy
from flexlam_jax.acting.validated_codes import check_codes
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.params import restore_params, saved_fingerprint
from flexlam_jax.checkpoints.write import STEP
from flexlam_jax.errors import DamagedFile, UserError
from flexlam_jax.loading import early_translator
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.load import LAM, kind_of, load_as
from flexlam_jax.loading.translator import LoadedTranslator

TOKEN_POLICY = "token_policy"
SIZE = 64  # pixels of a side, where no policy says what it reads


@dataclasses.dataclass(frozen=True)
class Player:
    """policy: None where `behaviour` plays. about: JSON-able, everything that decides its actions.

    predicts: whether it tells the next picture.
    """

    policy: Policy | None
    about: dict[str, Any]
    behaviour: str = ""
    predicts: bool = False

    @property
    def size(self) -> int:
        """Pixels of a side of what it looks at. Raises UserError where pictures are not square."""
        height, width = self.policy.image_size if self.policy else (SIZE, SIZE)
        if height != width:
            raise UserError(
                f"the policy reads frames of {height}x{width}; simulators show square ones only"
            )
        return height


@dataclasses.dataclass(frozen=True)
class LatentPath:
    """What stands between a token policy and actions, as the flags say: "" and None are defaults.

    allow_unvalidated: act through codes that the card of the latent action model does not vouch for.
    """

    translator: str = ""
    lam: str = ""
    keep: int | None = None
    draws: int = 16
    allow_unvalidated: bool = False

    def given(self) -> list[str]:
        """The flags that only a policy of latent actions reads."""
        values = {"--translator": self.translator, "--lam": self.lam, "--keep": self.keep}
        values["--allow_unvalidated_codes"] = self.allow_unvalidated or None
        return [flag for flag, value in values.items() if value not in ("", None)]


def open_player(policy: str, path: LatentPath) -> Player:
    """The player that --policy names: a behaviour, or the folder of a checkpoint.

    Raises:
      UserError: a checkpoint that cannot act, flags that it does not read, a missing translator, a
        budget beyond the slots, parts that were made for another LAM, codes that its card marks as
        not validated and nobody allowed.
    """
    if policy in BEHAVIOURS:
        _refuse(path, f"--policy={policy} is a behaviour of the simulator")
        return Player(None, {"behaviour": policy}, policy)
    kind = kind_of(policy)
    loaded = flexlam_jax.load(policy)
    if kind == TOKEN_POLICY:
        return _latent(loaded, policy, path)
    if not hasattr(loaded, "decide"):
        raise UserError(
            f"--policy={policy} holds a model of kind {kind!r}, which does not act; give a "
            f"checkpoint of behaviour_cloning or {TOKEN_POLICY}, or a behaviour: "
            f"{', '.join(BEHAVIOURS)}"
        )
    _refuse(path, f"--policy={policy} holds a model of kind {kind!r}")
    return Player(loaded, about_checkpoint(policy, getattr(loaded, "step", None)))


def _latent(tokens: Any, policy: str, path: LatentPath) -> Player:
    if not path.translator:
        raise UserError(
            f"--policy={policy} predicts latent actions; give the --translator that turns them into "
            "actions (experiments.align_translator makes one)"
        )
    made_of = path.lam or tokens.lam.get("checkpoint", "")
    if not made_of:
        raise UserError(
            f"--policy={policy} does not say where the latent action model lies whose codes it was "
            "trained on; give it as --lam"
        )
    lam = load_as(LAM, made_of)
    keep = lam.slots if path.keep is None else path.keep
    if not 0 < keep <= lam.slots:
        raise UserError(f"--keep={keep} is outside 1..{lam.slots}, the slots of {made_of}")
    translator = flexlam_jax.load_translator(path.translator)
    about = about_checkpoint(policy, tokens.step) | {"keep": keep, "draws": path.draws}
    about["lam"] = about_checkpoint(made_of, lam.step)
    about["translator"] = about_checkpoint(path.translator, STEP)
    about |= _validation(made_of, lam, translator, keep, path)
    acting = LatentPolicy(tokens, lam, translator, keep=keep, draws=path.draws)
    return Player(acting, about, predicts=True)


def _validation(
    made_of: str, lam: LoadedLam, translator: LoadedTranslator, keep: int, path: LatentPath
) -> dict[str, Any]:
    """{"codes": what vouches for them}, {} where no card says anything; raises as `check_codes`."""
    try:
        return {"codes": "validated"} if check_codes(made_of, lam, translator, keep) else {}
    except DamagedFile:
        raise
    except UserError as error:
        if path.allow_unvalidated:
            return {"codes": "not validated, allowed"}
        raise UserError(
            f"{error}. Give --allow_unvalidated_codes to act through them nevertheless, or a --keep "
            "whose codes are validated"
        ) from error


def check_fit(policy: Policy, task: TaskSpec) -> None:
    """Raises UserError unless the policy's actions are those of the task, in the same order."""
    action: ActionSpec = task.action
    if action.kind != "discrete" or tuple(action.names) != tuple(policy.action_names):
        raise UserError(
            f"the policy acts by {', '.join(policy.action_names)}, task {task.name} by "
            f"{', '.join(action.names)} ({action.kind}); take a policy that was trained on this "
            "task's actions, or a task of the policy's simulator"
        )


def _refuse(path: LatentPath, why: str) -> None:
    given = path.given()
    if given:
        raise UserError(f"{why}, for which {', '.join(given)} mean nothing; leave them out")


def about_checkpoint(path: str, step: int | None) -> dict[str, Any]:
    """What tells a checkpoint from others; it is read for that only where nobody loaded its `step`."""
    about: dict[str, Any] = {"checkpoint": model_name(path), "kind": kind_of(path)}
    if early_translator.is_one(path):
        return about | {"fingerprint": early_translator.config_of(path).get("fingerprint")}
    if step is not None:
        return about | {"step": step, "fingerprint": saved_fingerprint(path, step)}
    variables, _, step = restore_params(path)
    return about | {"step": step, "fingerprint": fingerprint(variables)}
