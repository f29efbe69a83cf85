"""The settings of a run that hold for every model: what the training loop reads of a config."""

import dataclasses
from collections.abc import Mapping

from flexlam_jax.config.ranges import (
    COUNT,
    COUNT_OR_NONE,
    SEED,
    SHARE_BELOW_1,
    SWITCH,
    TEXT,
    Range,
    either,
    exactly,
    one_of,
    real,
)
from flexlam_jax.config.settings import section, setting
from flexlam_jax.parallel.sharding import FSDP_MIN_SIZE
from flexlam_jax.parallel.watchdog import DEFAULT_SECONDS
from flexlam_jax.training.augmentation import AugmentationSettings
from flexlam_jax.training.optimizer import SCHEDULES, GroupSettings
from flexlam_jax.training.warm_start import InitFromSettings

_AXIS = either(COUNT, exactly(-1))
_NAMED = Range("a mapping of names", lambda value: isinstance(value, Mapping))
_PATHS = Range(
    "texts in brackets",
    lambda value: isinstance(value, (list, tuple)) and all(map(TEXT.holds, value)),
)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW, its schedule, and what is done with gradients and averages."""

    learning_rate: float = setting(1e-3, range=real(0), help="peak of the schedule", required=True)
    schedule: str = setting(
        "cosine", range=one_of(SCHEDULES), help="what follows the warm-up", required=True
    )
    warmup_steps: int = setting(
        100, range=COUNT_OR_NONE, help="updates of linear warm-up from 0", required=True
    )
    decay_fraction: float = setting(
        0.2, range=real(0, 1), help="share of the steps in which wsd falls to 0", required=True
    )
    weight_decay: float = setting(
        1e-4, range=real(0), help="of weight matrices only", required=True
    )
    clip_norm: float = setting(
        1.0, range=real(0), help="longest gradient, 0 for any", required=True
    )
    b1: float = setting(0.9, range=SHARE_BELOW_1, help="of AdamW", required=True)
    b2: float = setting(0.98, range=SHARE_BELOW_1, help="of AdamW", required=True)
    accumulate: int = setting(1, range=COUNT, help="micro-batches per update", required=True)
    ema_decay: float = setting(
        0.0, range=SHARE_BELOW_1, help="of the parameters' average, 0 keeps none", required=True
    )
    groups: Mapping[str, GroupSettings] = setting(
        {},
        range=_NAMED,
        help="{name: {pattern, learning_rate, weight_decay}}: factors for some parameters",
        each=GroupSettings,
    )


@dataclasses.dataclass(frozen=True)
class MeshSettings:
    """Devices per axis; one of data, fsdp and model may be -1, those that are left."""

    data: int = setting(-1, range=_AXIS, help="copies, each with its own rows")
    fsdp: int = setting(1, range=_AXIS, help="rows too; large parameters are split over it")
    model: int = setting(1, range=_AXIS, help="heads and hidden units are split over it")
    slice: int = setting(
        -1, range=_AXIS, help="copies over the slow network; -1 for the TPU slices there are"
    )
    fsdp_min_size: int = setting(
        FSDP_MIN_SIZE, range=COUNT_OR_NONE, help="smaller parameters are not split over fsdp"
    )


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
    """When a run saves itself, and what stays."""

    every: int = setting(
        1000,
        range=COUNT,
        help="updates that a kill may cost; a run saves twice as often",
        required=True,
    )
    keep: int = setting(
        3,
        range=COUNT,
        help="steps that stay: the newest, and multiples of `every` before",
        required=True,
    )


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """Where metrics are written."""

    every: int = setting(50, range=COUNT, help="updates per row of metrics.jsonl", required=True)
    tensorboard: bool = setting(True, range=SWITCH, help="writes events too", required=True)
    wandb: str = setting("", range=TEXT, help='name of a project, "" for none', required=True)


@dataclasses.dataclass(frozen=True)
class EvalSettings:
    """Evaluation in training."""

    every: int = setting(500, range=COUNT, help="updates between evaluations", required=True)
    batches: int = setting(
        8, range=COUNT_OR_NONE, help="validation batches, 0 for none", required=True
    )
    evaluators: tuple[str, ...] = setting(
        (), range=_PATHS, help="names of evaluators that run on them, beside the loss"
    )


@dataclasses.dataclass(frozen=True)
class ProfileSettings:
    """A trace of some steps."""

    start: int = setting(0, range=COUNT_OR_NONE, help="step at which a trace begins")
    steps: int = setting(0, range=COUNT_OR_NONE, help="steps that it lasts, 0 for no trace")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The keys that `fit` reads, and what makes the batches that it is given."""

    seed: int = setting(0, range=SEED, help="of parameters, data order and sampling", required=True)
    total_steps: int = setting(1000, range=COUNT, help="updates", required=True)
    batch_size: int | Mapping[str, int] = setting(
        64,
        range=Range(f"{COUNT.text}, or {{stream: rows}}", COUNT.holds),
        help="rows per update over all devices",
        each=COUNT,
        required=True,
    )
    augmentation: AugmentationSettings = section(AugmentationSettings)
    optimizer: OptimizerSettings = section(OptimizerSettings, required=True)
    init_from: Mapping[str, InitFromSettings] = setting(
        {},
        range=_NAMED,
        help="{name: {path, take, to, step}}: parameters that come from other runs",
        each=InitFromSettings,
    )
    frozen: tuple[str, ...] = setting(
        (),
        range=_PATHS,
        help="paths of parameters in init_from that are not trained",
    )
    mesh: MeshSettings = section(MeshSettings, required=True)
    checkpoint: CheckpointSettings = section(CheckpointSettings, required=True)
    log: LogSettings = section(LogSettings, required=True)
    eval: EvalSettings = section(EvalSettings, required=True)
    profile: ProfileSettings = section(ProfileSettings)
    peak_tflops: float = setting(
        0.0,
        range=real(0),
        help="per device, for MFU; 0 measures a matmul at the start",
        required=True,
    )
    # A limit that no step can keep would end the run, and a launcher would start it again for ever.
    watchdog_seconds: float = setting(
        float(DEFAULT_SECONDS),
        range=either(real(1), Range("0 for never", lambda value: value == 0)),
        help="a step that takes longer ends the run (exit code 76)",
    )
