"""Export of policies: one pure step each, which remembers nothing from call to call."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.errors import UserError
from flexlam_jax.loading.behaviour_cloning import LoadedBehaviourCloning
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy
from flexlam_jax.loading.token_policy import LoadedTokenPolicy
from flexlam_jax.serving.functions import (
    ROWS,
    SENTENCES,
    Argument,
    Exported,
    ExportSettings,
    Function,
    frames_of,
)
from flexlam_jax.serving.translator import action_meanings, action_results

SEEDS = Argument("seeds", (ROWS,), np.uint32, "of what is drawn at random in a row")


def exported(policy: object, settings: ExportSettings) -> Exported:
    """act of policies of actions; draw and log_prob of policies of latent actions."""
    of = {
        LoadedBehaviourCloning: _behaviour_cloning,
        LoadedTokenPolicy: _token_policy,
        LoadedChunkPolicy: _chunk_policy,
    }[type(policy)]
    return of(policy, settings)


def _behaviour_cloning(policy: LoadedBehaviourCloning, settings: ExportSettings) -> Exported:
    del settings
    history, names = policy.history, list(policy.action_names)

    def call(frames: jax.Array) -> Mapping[str, jax.Array]:
        outputs = policy.model.apply(policy.variables, frames, last=1)[:, 0]
        return action_results(outputs, policy.discrete)

    told = (
        f"the last {history} frames, (B, T, H, W, C), the present one last; before the first frame "
        "of an episode its first frame is repeated"
    )
    act = Function(
        "act",
        "the next action",
        (frames_of("frames", (history, *policy.frame_shape), told),),
        action_meanings(policy.discrete),
        call,
    )
    facts = {"action_names": names, "discrete": policy.discrete, "history": history}
    return Exported((act,), parameters_hash(policy.variables), facts)


def _token_policy(policy: LoadedTokenPolicy, settings: ExportSettings) -> Exported:
    model, variables, draws = policy.model, policy.variables, settings.draws
    (frames_are, _), (codes_are, dtype) = policy.reads()
    frames = frames_of(
        "frames",
        frames_are,
        f"the last {policy.frames} frames, {policy.gap} apart, (B, T + S - 1, H, W, C), the present "
        "one last",
    )
    kind = "token ids" if policy.codebook_size else "slots"
    past = Argument(
        "past",
        (ROWS, codes_are[0] - 1, *codes_are[1:]),
        dtype,
        f"{kind} of the {codes_are[0] - 1} latent actions before",
    )
    codes = Argument("codes", (ROWS, *codes_are), dtype, f"{kind} of all {codes_are[0]} steps")

    def draw(frames: jax.Array, past: jax.Array, seeds: jax.Array) -> Mapping[str, jax.Array]:
        drawn = model.apply(
            variables, frames, past, seeds, draws=draws, keep=policy.slots, method="draw"
        )
        return {"codes": drawn}

    def log_prob(frames: jax.Array, codes: jax.Array) -> Mapping[str, jax.Array]:
        return {"nats": model.apply(variables, frames, codes, method="log_prob")}

    functions = (
        Function(
            "draw",
            f"{draws} draws of the present latent action; the first n draws of k slots are what a "
            "smaller n and k would give",
            (frames, past, SEEDS),
            {"codes": f"{kind}, (B, {draws}, K) and, of slots, D"},
            draw,
        ),
        Function(
            "log_prob",
            "how likely latent actions are",
            (frames, codes),
            {"nats": "of every slot given what precedes it, float (B, T, K)"},
            log_prob,
        ),
    )
    facts = {
        "slots": policy.slots,
        "slot_width": policy.slot_width,
        "codebook_size": policy.codebook_size,
        "context": policy.context,
        "stack": policy.stack,
        "gap": policy.gap,
        "draws": draws,
        "lam": policy.lam,
    }
    return Exported(functions, parameters_hash(variables), facts)


def _chunk_policy(policy: LoadedChunkPolicy, settings: ExportSettings) -> Exported:
    steps: int | str = "t" if policy.history > 1 else 1
    arguments = [
        frames_of(
            f"frames_{camera}" if camera != "frames" else "frames",
            (steps, *policy.frame_shape),
            "frames (B, T, H, W, C), the present one last",
        )
        for camera in policy.cameras
    ]
    cameras = len(arguments)
    for name in ("proprio", "skill"):
        width = getattr(policy, f"{name}_width")
        if width:
            arguments.append(
                Argument(name, (ROWS, steps, width), np.float32, f"raw numbers, (B, T, {width})")
            )
    if policy.reads_text:
        told = f"features of a sentence, (B, E): rows of the table {SENTENCES}.npy"
        arguments.append(Argument("text", (ROWS, policy.text.width), np.float32, told))
    names = [argument.name for argument in arguments]

    def call(*given: jax.Array) -> Mapping[str, jax.Array]:
        observation = dict(zip(names[cameras:], given[cameras:-1], strict=True))
        observation["frames"] = jnp.stack(given[:cameras], axis=2)
        chunk = policy.model.apply(policy.variables, observation, given[-1], method="act")
        return {"chunk": chunk}

    act = Function(
        "act",
        f"the next {policy.chunk} targets",
        (*arguments, SEEDS),
        {"chunk": "in the units of the data, float (B, C, A)"},
        call,
        () if steps == 1 else (f"t <= {policy.history}",),
    )
    facts = {
        "cameras": list(policy.cameras),
        "history": policy.history,
        "chunk": policy.chunk,
        "action_names": list(policy.action_names),
        "columns": list(policy.columns),
        "proprio_names": list(policy.proprio_names),
        "skill_source": policy.skill_source,
        "target_source": policy.target_source,
        "sentences": list(settings.sentences),
    }
    arrays = {}
    if policy.reads_text:
        arrays[SENTENCES] = _told(policy, settings.sentences)
    return Exported((act,), parameters_hash(policy.variables), facts, arrays)


def _told(policy: LoadedChunkPolicy, sentences: tuple[str, ...]) -> np.ndarray:
    """What the policy reads of sentences, float32 (n, E): they are made here, by this package."""
    if not sentences:
        raise UserError(
            "this policy is told its task by a sentence, which the exported model reads as numbers; "
            "name the sentences that it will be told"
        )
    return policy.text.features(list(sentences))
