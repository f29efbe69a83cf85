"""From batches of the loader to those of a chunk policy: what it observes, and its targets.

Dimension keys: B rows, T steps of history, C steps of a chunk, A numbers of a target, E text, P
proprioception, S skill, H W C image.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.loading.loader import TrainingBatches, training_batches
from data_pipelines.loading.views import frames_key
from experiments.data_sentences import data_sentences
from experiments.policy_data import cut, with_camera
from experiments.tasks.clips import data_of
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.baku import build_text
from flexlam_jax.models.lam import frame_shape

ORIGIN = ("gap", "episode", "t", "dataset", "language", "task")  # of a row; nothing learns of them
# What the policy itself asks of the loader, and where its config says so.
_ASKED = {
    "views": "reads.cameras",
    "fields": "reads.proprio",
    "language": "model.text.kind",
    "chunk": "model.chunk",
    "column_chunk": "model.chunk",
    "clip_length": "model.history",
}


def check_asked(config: Any, defaults: Mapping[str, Any]) -> None:
    """Raises ConfigError for loader options that a policy sets itself."""
    data, seen = config.data, tuple(config.reads.cameras)
    mixture = {f"data.mixture.{name}": entry for name, entry in data.get("mixture", {}).items()}
    for where, section in {"data": data, **mixture}.items():
        given = section.get("cameras", ())
        given = (given,) if isinstance(given, str) else tuple(given)
        if seen and given not in ((), seen[:1]):
            raise ConfigError(
                f"config.{where}.cameras={given!r}, but config.reads.cameras decides what a policy "
                f"reads; leave out config.{where}.cameras"
            )
    for name, instead in _ASKED.items():
        given = data.get(name, defaults[name])
        if given != defaults[name]:
            raise ConfigError(
                f"config.data.{name}={given!r}, but config.{instead} decides what a policy reads; "
                f"leave out config.data.{name}"
            )


def batch_shapes(config: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """Global shapes of a batch, by the sections `model`, `reads` and `predicts`."""
    B, T, steps = config.batch_size, config.model.history, _steps(config)
    reads, width = config.reads, config.predicts.width
    text = build_text(config.model).width
    frames = jax.ShapeDtypeStruct((B, T, *frame_shape(config.model)), jnp.uint8)
    shapes = dict.fromkeys(frame_fields(config), frames)
    vectors = {
        "text": (text,) if text else None,
        "proprio": (T, reads.proprio_width) if reads.proprio else None,
        "skill": (T, reads.skill_width) if reads.skill else None,
        "target": (steps, width),
    }
    for name, shape in vectors.items():
        if shape:
            shapes[name] = jax.ShapeDtypeStruct((B, *shape), jnp.float32)
    return shapes | {"target_mask": jax.ShapeDtypeStruct((B, steps), jnp.bool_)}


def frame_fields(config: Any) -> tuple[str, ...]:
    """Where a batch holds the frames of each camera, the first of them under `frames`."""
    return ("frames", *(frames_key(camera) for camera in config.reads.cameras[1:]))


def policy_batches(
    config: Any, split: str, *, seed: int, batch_size: int, rows: Sequence[int], **options: Any
) -> "PolicyBatches":
    """Endless batches of a split, for `build_chunk_policy` of the config; opens the data now.

    Args:
      options: of the loader, beside those of the config.

    Raises:
      DataError: as `training_batches`; no sentences where the policy reads some.
    """
    data = {**data_of(config, split), **_asked(config), **options}
    cameras = tuple(config.reads.cameras)
    if cameras:
        data = with_camera(data, cameras[0])
    try:
        batches = training_batches(data, seed=seed, batch_size=batch_size, rows=rows)
    except DataError as error:
        if "drop data.language" not in str(error):
            raise
        raise DataError(f"{error}: --config.model.text.kind=none") from error
    said = data_sentences(data, [split]) if data["language"] else ()
    return PolicyBatches(batches, config, said)


def _asked(config: Any) -> dict[str, Any]:
    columns, steps = bool(config.predicts.columns), _steps(config)
    return {
        "views": tuple(config.reads.cameras[1:]),
        "fields": ("state",) if config.reads.proprio else (),
        "language": bool(build_text(config.model).width),
        "chunk": 0 if columns else steps,
        "column_chunk": steps if columns else 0,
        "clip_length": config.model.history + 1,
    }


def _steps(config: Any) -> int:
    """Targets from the first step of the history on, to the last of the last step's chunk."""
    return config.model.history - 1 + config.model.chunk


class PolicyBatches(Iterator[dict[str, np.ndarray]]):
    """Batches of the shapes of `batch_shapes`, and the origin of their rows.

    said: all sentences that the policy is told; tasks of episodes that have a language are none.
    """

    def __init__(self, batches: TrainingBatches, config: Any, said: Sequence[str]):
        self._batches, self._config = batches, config
        text, known = build_text(config.model), {*said}
        self._language, self._task = (
            text.features([one if one in known else "" for one in texts])
            for texts in (batches.languages, batches.tasks)
        )

    def __iter__(self) -> "PolicyBatches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        batch, T = next(self._batches), self._config.model.history
        out = {name: batch[name] for name in ORIGIN if name in batch}
        out |= {name: batch[name][:, :T] for name in frame_fields(self._config)}
        if self._language.size:
            out["text"] = self._sentences(batch)
        if self._config.reads.proprio:
            out["proprio"] = batch["state"][:, :T]
        if self._config.reads.skill:
            out["skill"] = self._skills(batch)
        return out | self._targets(batch)

    def get_state(self) -> dict[str, int]:
        return self._batches.get_state()

    def set_state(self, state: Mapping[str, int]) -> None:
        self._batches.set_state(state)

    def close(self) -> None:
        """Stops reading ahead; the iterator can be used again."""
        self._batches.close()

    def _sentences(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B, E) of the language of each row, of its task where an episode has no language."""
        told = batch["language"][:, None] > 0
        return np.where(told, self._language[batch["language"]], self._task[batch["task"]])

    def _skills(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B, T, S): a skill for each step, also where it is one for the episode."""
        reads, T = self._config.reads, self._config.model.history
        rows = batch[reads.skill].reshape(len(batch["t"]), -1, reads.skill_width)
        return np.broadcast_to(rows[:, :T], (len(rows), T, reads.skill_width)).astype(np.float32)

    def _targets(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        predicts = self._config.predicts
        if not predicts.columns:
            return {"target": batch["action_chunk"], "target_mask": batch["action_chunk_mask"]}
        chunks = [cut(batch[f"{name}_chunk"], predicts.keep, 2) for name in predicts.columns]
        masks = [batch[f"{name}_chunk_mask"] for name in predicts.columns]
        return {
            "target": np.concatenate(chunks, axis=-1).astype(np.float32),
            "target_mask": np.logical_and.reduce(masks),
        }
