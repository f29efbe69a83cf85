"""A chunk policy, for whoever acts with it or asks it for skills.

    policy = flexlam_jax.load(path)                     # work directory or its checkpoints folder
    chunk = policy.decide({"agentview": pictures}, proprio, ["open the drawer"])

    check_hierarchy(high, low)                          # whose skills the low level understands
    skill = high.decide(frames, proprio, text)[:, 0]
    chunk = low.decide(frames, proprio, text, skill)

acting/temporal_ensemble.py makes one action of the chunks of several steps.

Dimension keys: B batch, T steps of history, H W C image, P proprioception, S skill, C steps of a
chunk, A numbers of a target.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.params import checkpoint_folder, restore_params
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.loading.buckets import DECISIONS, Array, in_buckets
from flexlam_jax.models.baku import ChunkPolicy, build_chunk_policy, build_text
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.text_table import FILE, TextTable

SECTIONS = ("model", "reads", "predicts")


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedChunkPolicy":
    """The policy of a run; see `flexlam_jax.load`, whose arguments and errors these are."""

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        policy = LoadedChunkPolicy(_built(config, path), {}, config, 0)
        return dict(jax.eval_shape(policy.initialise, jax.random.key(0)))

    variables, config, step = restore_params(path, abstract, step)
    variables = jax.device_put(variables, jax.local_devices()[0])
    text = _with_own_table(build_text(config["model"]), path)
    return LoadedChunkPolicy(_built(config, path), variables, config, step, text)


def _built(config: dict[str, Any], path: Any) -> ChunkPolicy:
    if not set(SECTIONS) <= set(config):
        raise CheckpointError(
            f"the config of the policy in {path} lacks a section of {', '.join(SECTIONS)}; train "
            "the policy again with experiments.train"
        )
    return build_chunk_policy(*(config[name] for name in SECTIONS))


def _with_own_table(text: Any, path: Any) -> Any:
    """What makes vectors of sentences, a table by its copy beside the steps, opened now."""
    if not isinstance(text, TextTable):
        return text
    own = dataclasses.replace(text, path=str(checkpoint_folder(path) / FILE))
    try:
        own.features([])
    except UserError as error:
        raise CheckpointError(
            f"the policy in {path} looks sentences up in a table that lies beside its steps: {error}. "
            f"Put one of the same encoder there; that of the training was {text.path}"
        ) from error
    return own


class LoadedChunkPolicy:
    """What is seen, said and meant -> the next C targets. Made by `flexlam_jax.load`.

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      cameras: whose frames it reads; ("frames",) for a policy of single pictures of any camera.
      frame_shape, image_size: their (H, W, C), (H, W).    history: the largest T.
      proprio_names: of the numbers of a state, () where it reads none or they have no names.
      proprio_width, skill_width: P, S; 0 for what it does not read.
      reads_text: whether sentences are of account.    text: what makes vectors of them.
      chunk, width: C, A.
      columns: which columns of sidecars it predicts; () for a policy of actions.
      action_names: of the A numbers, for a policy of actions.
      skill_source, target_source: which arrays of which model the skills are that it reads, and the
        columns that it predicts; "" without.
    """

    def __init__(
        self,
        model: ChunkPolicy,
        variables: Any,
        config: dict[str, Any],
        step: int,
        text: Any = None,
    ):
        """text: one of TEXT_FEATURES; None for that of the config."""
        self.model, self.variables, self.config, self.step = model, variables, config, step
        reads, predicts = config["reads"], config["predicts"]
        self.cameras = tuple(reads["cameras"]) or ("frames",)
        self.frame_shape = frame_shape(config["model"])
        self.image_size = self.frame_shape[:2]
        self.history, self.chunk, self.width = (
            model.body.history,
            model.head.chunk,
            predicts["width"],
        )
        self.proprio_width, self.skill_width = model.body.proprio_width, model.body.skill_width
        self.proprio_names = tuple(reads["proprio_names"]) if self.proprio_width else ()
        self.columns = tuple(predicts["columns"])
        self.action_names = tuple(predicts["names"])
        self.skill_source, self.target_source = reads["skill_source"], predicts["source"]
        self.text = build_text(config["model"]) if text is None else text
        self.reads_text = bool(self.text.width)
        self._act = jax.jit(self._acted)

    def initialise(self, key: jax.Array) -> Any:
        """Variables of a new policy, for their shapes."""
        observation = {"frames": jnp.zeros((1, 1, len(self.cameras), *self.frame_shape))}
        widths = {"proprio": self.proprio_width, "skill": self.skill_width}
        observation |= {name: jnp.zeros((1, 1, n)) for name, n in widths.items() if n}
        if self.reads_text:
            observation["text"] = jnp.zeros((1, self.text.width))
        return self.model.init(key, observation, jnp.zeros(1, jnp.uint32), method="act")

    def decide(
        self,
        frames: Mapping[str, Array],
        proprio: Array | None = None,
        text: Sequence[str] | None = None,
        skill: Array | None = None,
        *,
        seeds: Array | None = None,
    ) -> Array:
        """The next C targets, a pure function of the arguments: no memory from call to call.

        Args:
          frames: {camera: uint8 (B, H, W, C)} of all `cameras`; others are left alone. A policy
            with a history takes (B, T, H, W, C) too, the present step last, T up to `history`: at
            the start of an episode there are fewer.
          proprio: float (B, P), or (B, T, P) with a history. None for a policy that reads none;
            what a policy does not read may be given.
          text: B sentences.
          skill: float (B, S), or (B, T, S) with a history.
          seeds: uint32 (B,) of the noise of a head that draws (flow matching); None: 0.

        Returns:
          float32 (B, C, A), in the units of the data.

        Raises:
          ValueError: something that it reads is missing, or of another type, shape or number.
        """
        seen = {camera: self._frames(camera, frames) for camera in self.cameras}
        rows, steps = next(iter(seen.values())).shape[:2]
        for camera, array in seen.items():
            if array.shape[:2] != (rows, steps):
                raise ValueError(
                    f"frames of {camera!r} are {array.shape[0]} rows of {array.shape[1]} steps, "
                    f"those of {self.cameras[0]!r} {rows} of {steps}"
                )
        arguments = [np.zeros(rows, np.uint32) if seeds is None else np.asarray(seeds, np.uint32)]
        if arguments[0].shape != (rows,):
            raise ValueError(f"seeds have shape {arguments[0].shape}, not ({rows},)")
        if self.reads_text:
            arguments.append(self._sentences(text, rows))
        for name, given in (("proprio", proprio), ("skill", skill)):
            width = getattr(self, f"{name}_width")
            if width:
                arguments.append(self._numbers(name, given, (rows, steps, width)))

        def act(*arguments: Array) -> Array:
            return self._act(self.variables, *arguments)

        return in_buckets(act, (*arguments, *seen.values()), batched=True, buckets=DECISIONS)

    def _acted(self, variables, seeds, *arguments):
        rest = list(arguments)
        observation = {}
        if self.reads_text:
            observation["text"] = rest.pop(0)
        for name in ("proprio", "skill"):
            if getattr(self, f"{name}_width"):
                observation[name] = rest.pop(0)
        observation["frames"] = jnp.stack(rest, axis=2)
        return self.model.apply(variables, observation, seeds, method="act")

    def _frames(self, camera: str, frames: Mapping[str, Array]) -> np.ndarray:
        """uint8 (B, T, H, W, C)."""
        if camera not in frames:
            raise ValueError(
                f"frames lack camera {camera!r}; this policy reads {', '.join(self.cameras)}, "
                f"given are {', '.join(frames) or 'none'}"
            )
        given = np.asarray(frames[camera])
        array = given[:, None] if given.ndim == 4 else given
        right = array.ndim == 5 and array.shape[2:] == self.frame_shape and len(array)
        if given.dtype != np.uint8 or not right or not 1 <= array.shape[1] <= self.history:
            raise ValueError(
                f"frames of {camera!r} are {given.dtype} of shape {given.shape}; this policy reads "
                f"uint8 of shape (B, {', '.join(map(str, self.frame_shape))}), or (B, T, ...) "
                f"with T up to {self.history}"
            )
        return array

    def _numbers(self, name: str, given: Any, shape: tuple[int, int, int]) -> np.ndarray:
        """float32 (B, T, n)."""
        rows, steps, width = shape
        array = np.asarray(0.0 if given is None else given, np.float32)
        array = array[:, None] if array.ndim == 2 and steps == 1 else array
        if array.shape != shape:
            told = "None" if given is None else f"of shape {np.shape(given)}"
            raise ValueError(
                f"{name} is {told}; this policy reads ({rows}, {width}) for one step"
                + (f", here ({rows}, {steps}, {width})" if steps > 1 else "")
            )
        return array

    def _sentences(self, text: Sequence[str] | None, rows: int) -> np.ndarray:
        if text is None or isinstance(text, str) or len(text) != rows:
            raise ValueError(
                f"text is {text!r}; this policy reads a list of {rows} sentences, one for each row"
            )
        return self.text.features(list(text))


def check_hierarchy(high: LoadedChunkPolicy, low: LoadedChunkPolicy) -> None:
    """Raises UserError unless what `high` predicts is what `low` reads as skill."""
    if high.skill_width and low.columns and not low.skill_width:
        raise UserError(
            "these policies are swapped: the one given as the high level reads a skill, and the one "
            "given as the low level predicts it"
        )
    told = None
    if not low.skill_width:
        told = "the low level reads no skill (config.reads.skill)"
    elif not high.columns:
        told = f"the high level predicts actions ({', '.join(high.action_names)}), not skills"
    elif high.width != low.skill_width:
        told = (
            f"the high level predicts {high.width} numbers, the low level reads {low.skill_width}"
        )
    elif high.target_source != low.skill_source:
        told = (
            f"the high level predicts {high.target_source or 'unknown columns'}, the low level was "
            f"trained with {low.skill_source or 'unknown ones'}"
        )
    if told:
        raise UserError(f"these policies are no hierarchy: {told}; train both on one skill sidecar")
