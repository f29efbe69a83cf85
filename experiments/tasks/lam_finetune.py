"""A latent action model and a translator together: all video, and few labelled transitions of it.

From scratch, or from a trained model (`init_from`): see objectives/lam_finetune.py.

Which transitions are labelled is what experiments.align_translator draws with the same --labels,
--draw, --seed and --datasets, so that what is compared has seen the same labels.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.joint import JointBatches, joint_batches
from data_pipelines.loading.loader import count_windows
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from experiments.configs.keys import LamConfig
from experiments.data_hashes import data_hashes
from experiments.tasks.clips import check_autoencoder, check_sizes, data_of
from experiments.tasks.remedies import beside_frames, check_partners
from experiments.tasks.task import Task
from experiments.tasks.vectors import framed_config, reads_vectors
from flexlam_jax.config.ranges import COUNT_OR_NONE, SEED, Range
from flexlam_jax.config.settings import read, section, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.evaluation.labels import count_of, read_labels
from flexlam_jax.models.lam import build_lam, frame_shape
from flexlam_jax.models.vectors import VectorSettings
from flexlam_jax.objectives.lam import LossSettings, lam_objective
from flexlam_jax.objectives.lam_finetune import (
    LABELLED,
    MODEL,
    VIDEO,
    TranslatorSettings,
    finetune_objective,
    supervision,
)
from flexlam_jax.objectives.vector_lam import STATE, vector_objective, with_framed
from flexlam_jax.parallel.streams import is_streams
from flexlam_jax.training.loop import Evaluate
from flexlam_jax.training.validation import mean_loss


def _is_labels(value: Any) -> bool:
    try:
        read_labels(str(value))
    except ValueError:
        return False
    return not isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class LabelledSettings:
    """Which train transitions of `data` are labelled: those that align_translator draws."""

    labels: int | str = setting(
        "0.5%",
        range=Range("a number, a share of all as '0.5%', or 'all'", _is_labels),
        help="how many",
    )
    draw: int = setting(0, range=COUNT_OR_NONE, help="which random order they are the first of")
    seed: int = setting(0, range=SEED, help="of the draws")
    datasets: tuple[str, ...] = setting(
        (),
        range=Range("names in brackets", lambda value: isinstance(value, (list, tuple))),
        help="that labels come from, () for those of the video",
    )


@dataclasses.dataclass(frozen=True)
class LamFinetuneConfig(LamConfig):
    """The config of a latent action model that is trained together with its translator."""

    vectors: VectorSettings = section(VectorSettings)  # Of a model of vectors.
    labelled: LabelledSettings = section(LabelledSettings)
    translator: TranslatorSettings = section(TranslatorSettings, required=True)


SETTINGS = LamFinetuneConfig


def build(config: Any) -> Task:
    """Reads the sections `model`, `loss`, `data`, `labelled`, `translator` and `eval`.

    Raises:
      ConfigError: a model, loss or translator that cannot be built, a `data.image_size` that is
        not the model's, rows for other streams than the two, or a mixture of folders.
    """
    _check(config)
    framing, width = None, 0
    if reads_vectors(config):
        config, framing, width = framed_config(config)
    check_sizes(config)
    check_autoencoder(config, f"{MODEL}/decoder")
    shape, length = frame_shape(config.model), config.data.clip_length
    model = build_lam(config.model)
    told = supervision(config.translator)
    lam = lam_objective(model, config.model, config.loss, clip_length=length, **told)
    objective = finetune_objective(
        vector_objective(lam, framing) if framing else lam,
        model,
        config.model,
        config.translator,
        feature_width=read("loss", config.loss, LossSettings).feature_width,
    )
    if framing:
        objective = with_framed(objective, framing, [LABELLED])
    splits = [config.data.split, *(["validation"] if config.eval.batches else [])]
    return Task(
        objective=objective,
        batch=_vectors(config, width) if framing else _batch(config, shape),
        data=functools.partial(_training, config),
        evaluators=functools.partial(_evaluators, config, objective),
        data_hashes=lambda: _hashes(config, splits),
        config=config if framing else None,
    )


def _check(config: Any) -> None:
    rows = config.batch_size
    if not is_streams(rows) or set(rows) != {VIDEO, LABELLED}:
        raise ConfigError(
            f"config.batch_size={rows} of config.kind='lam_finetune' needs rows for two streams, "
            "as in {'video': 64, 'labelled': 32}"
        )
    if config.data.get("mixture"):
        raise ConfigError(
            "config.data.mixture: labels are drawn from the datasets of one folder; give "
            "config.data.path and config.data.datasets"
        )
    if config.eval.get("evaluators", ()):
        raise ConfigError(
            f"config.eval.evaluators={tuple(config.eval.evaluators)}: config.kind='lam_finetune' "
            "tells the held-out loss only; run experiments.evaluate_lam on its checkpoints"
        )


def _batch(config: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    rows, head = config.batch_size, config.translator

    def frames(stream: str, length: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows[stream], length, *shape), jnp.uint8)

    labelled = {
        "frames": frames(LABELLED, 2),
        "action": _actions(config),
    }
    if steps := head.get("steps", 0):
        labelled["frame_chunk"] = frames(LABELLED, steps + 1)
        held = (rows[LABELLED], steps + 1)
        labelled["frame_chunk_mask"] = jax.ShapeDtypeStruct(held, jnp.bool_)
    video = {"frames": frames(VIDEO, config.data.clip_length)}
    return {VIDEO: video | beside_frames(config, rows[VIDEO]), LABELLED: labelled}


def _vectors(config: Any, width: int) -> dict[str, Any]:
    """`_batch` of a model of vectors."""
    lengths = {VIDEO: config.data.clip_length, LABELLED: 2}
    batch: dict[str, Any] = {
        stream: {
            STATE: jax.ShapeDtypeStruct((config.batch_size[stream], length, width), jnp.float32)
        }
        for stream, length in lengths.items()
    }
    batch[LABELLED]["action"] = _actions(config)
    return batch


def _actions(config: Any) -> jax.ShapeDtypeStruct:
    rows, head = config.batch_size[LABELLED], config.translator
    shape, dtype = ((), jnp.int32) if head.get("discrete", True) else ((head.outputs,), jnp.float32)
    return jax.ShapeDtypeStruct((rows, 1, *shape), dtype)


def _streams(config: Any, split: str, *, drawn: bool) -> dict[str, dict[str, Any]]:
    """Loader options of both streams; `drawn`: only the transitions that are labelled.

    Raises:
      DataError: as `training_batches`.
      ConfigError: more labels than transitions, or actions that the translator does not give.
    """
    video = data_of(config, split)
    settings = read("labelled", config.get("labelled"), LabelledSettings)
    given, steps = loader_options(video), config.translator.get("steps", 0)
    labelled = {
        **video,
        # Names alone, as there are no weights: all labels count the same.
        "datasets": tuple(settings.datasets) or tuple(given.datasets),
        "clip_length": 2,
        "pairs_per_clip": 1,
        "gap": given.gap[0] if isinstance(given.gap, tuple) else given.gap,  # As lam_inputs does.
        "fields": tuple(dict.fromkeys((*given.fields, "action"))),
        "frame_chunk": steps + 1 if steps else 0,
        "pair_with": "",
        "views": (),
        "sidecars": {},
        "transitions": 0,
        "fraction": 1.0,
    }
    _check_actions(config, labelled)
    if drawn:
        there = count_windows(labelled)
        count = count_of(read_labels(str(settings.labels)), there)
        if count > there:
            raise ConfigError(
                f"config.labelled.labels={settings.labels}: the {split} split has {there} "
                "transitions only"
            )
        labelled |= {
            "transitions": count,
            "label_draw": settings.draw,
            "subset_seed": settings.seed,
        }
    return {VIDEO: video, LABELLED: labelled}


def _check_actions(config: Any, labelled: Mapping[str, Any]) -> None:
    """The translator gives the actions that the data hold. Raises ConfigError."""
    options, wanted = (
        loader_options(labelled),
        read("translator", config.translator, TranslatorSettings),
    )
    info = open_dataset(options.path)
    for name in select_datasets(info, options.datasets, options.cameras):
        action = info.spec(name).action
        if action is None:
            raise ConfigError(f"dataset {name} in {info.path} holds no actions to learn from")
        if (action.count, action.kind == "discrete") != (wanted.outputs, wanted.discrete):
            raise ConfigError(
                f"dataset {name} has {action.count} {action.kind} actions or dimensions "
                f"({', '.join(action.names)}); give --config.translator.outputs={action.count} "
                f"and --config.translator.discrete={action.kind == 'discrete'}, or other "
                "config.labelled.datasets"
            )


def _training(config: Any, rows: Mapping[str, Sequence[int]]) -> JointBatches:
    streams = _streams(config, config.data.split, drawn=True)
    check_partners(config, streams[VIDEO])
    return joint_batches(streams, seed=config.seed, batch_size=dict(config.batch_size), rows=rows)


def _evaluators(
    config: Any, objective: Any, rows: Mapping[str, Sequence[int]]
) -> tuple[Evaluate, ...]:
    """The loss, and how well the translator does, on `eval.batches` batches of validation data."""
    if not config.eval.batches:
        return ()
    streams = _streams(config, "validation", drawn=False)
    streams[VIDEO]["pairs_per_clip"] = 1  # Held-out rows are drawn one by one.
    batches = joint_batches(streams, seed=0, batch_size=dict(config.batch_size), rows=rows)

    def draw() -> list[Mapping[str, Any]]:
        drawn = [next(batches) for _ in range(config.eval.batches)]
        batches.close()
        return drawn

    return (mean_loss(objective, draw, batch_size=dict(config.batch_size), seed=config.seed),)


def _hashes(config: Any, splits: Sequence[str]) -> dict[str, str]:
    """Of the video, and of datasets that only labels come from."""
    hashes = data_hashes(data_of(config, config.data.split), splits)
    if names := tuple(read("labelled", config.get("labelled"), LabelledSettings).datasets):
        hashes |= data_hashes({**data_of(config, config.data.split), "datasets": names}, splits)
    return hashes
