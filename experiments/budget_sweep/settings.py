"""What a sweep compares, and what can be said of that before hours of training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.format.manifest import open_dataset
from experiments.preset_flag import read_preset
from flexlam_jax.config.sections import build_kind
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.labels import count_of, read_labels
from flexlam_jax.models.bottleneck import trained_budgets
from flexlam_jax.models.quantizers import QUANTIZERS

SCARCE, NARROW, JOINT = "scarce", "narrow", "joint"
PROTOCOLS = (SCARCE, NARROW, JOINT)


@dataclasses.dataclass(frozen=True)
class Presets:
    """The preset, FILE or FILE:variant, of each model that is trained."""

    lam: str
    policy: str
    cloning: str
    finetune: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
      out: folder of everything.          presets: of what is trained.
      simulator, tasks, actions: what is played, and the names of its actions.
      expert: whether the simulator has a scripted one, whose returns are shown too.
      data: dataset folder, "" for one that is prepared.
      plan: transitions by dataset that are prepared, {} for those of the simulator's recipe.
      video: datasets that LAMs learn from, None for those of their preset.
      datasets: of the tasks' play, which policies learn from and labels are drawn from.
      sources: datasets that narrow labels come from.
      seeds: of training.                 budgets: K of Fixed-K, and k of FlexLAM.
      discrete: whether slots are codes.
      protocols: some of PROTOCOLS.
      labels: of scarce alignment: a number, a share as 0.025% or all, with so many draws each.
      narrow_labels, joint_labels: of one draw.
      ceiling: whether accuracies also stand beside those of a supervised inverse model.
      episodes: per task and rollout.     validation_episodes: that fix how actions are taken.
    """

    out: Path
    presets: Presets
    simulator: str
    tasks: tuple[str, ...]
    actions: tuple[str, ...]
    expert: bool
    data: str
    plan: dict[str, int]
    video: tuple[str, ...] | None
    datasets: tuple[str, ...]
    sources: tuple[str, ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    discrete: bool
    protocols: tuple[str, ...]
    labels: dict[str, int]
    narrow_labels: str
    joint_labels: str
    ceiling: bool
    episodes: int
    validation_episodes: int

    @property
    def data_path(self) -> str:
        """The dataset folder."""
        return self.data or str(self.out / "data")

    @property
    def slots(self) -> int:
        """Slots of FlexLAM: those of the longest budget."""
        return max(self.budgets)

    def told(self) -> dict[str, Any]:
        """JSON-able, without the folder."""
        told = dataclasses.asdict(self)
        return {key: value for key, value in told.items() if key != "out"}


def has_codes(preset: str, budgets: Sequence[int]) -> bool:
    """Whether the LAM of a preset has discrete slots.

    Raises:
      ConfigError: no such preset.
      UserError: it is no LAM's, or its training would not draw a prefix length of `budgets`.
    """
    config = read_preset(preset)
    if config.get("kind", "lam") != "lam":
        raise UserError(f"--config={preset} is a preset of kind {config.kind!r}; give one of a LAM")
    model = {**config.model, "slots": max(budgets)}
    trained = trained_budgets(model)
    never = [k for k in budgets if k not in trained]
    if never:
        raise UserError(
            f"--budgets: a LAM of {max(budgets)} slots by --config={preset} is trained at "
            f"{', '.join(map(str, trained))} slots, never at {', '.join(map(str, never))}"
        )
    quantizer = build_kind("model.quantizer", model["quantizer"], QUANTIZERS)
    return quantizer.codebook_size is not None


def check_data(settings: Settings) -> None:
    """Looks at the manifest of the dataset folder, once it is there.

    Raises:
      DataError: a dataset that it does not hold.
      UserError: more labels than transitions, or datasets with other actions than the simulator's.
    """
    info = open_dataset(settings.data_path)
    names = [*settings.datasets, *(settings.sources if NARROW in settings.protocols else ())]
    for name in names:
        action = info.spec(name).action
        if action is None or tuple(action.names) != settings.actions:
            held = ", ".join(action.names) if action else "none"
            raise UserError(
                f"{settings.data_path}: dataset {name} has the actions {held}, but "
                f"--simulator={settings.simulator} {', '.join(settings.actions)}"
            )
    there = {name: info.counts[name].get("train", {}).get("transitions", 0) for name in names}
    _check_count("--labels", settings.labels, sum(there[name] for name in settings.datasets))
    if NARROW in settings.protocols:
        for name in settings.sources:
            _check_count(f"--narrow_labels, {name}", [settings.narrow_labels], there[name])


def _check_count(flag: str, labels: Any, there: int) -> None:
    for text in labels:
        wanted = count_of(read_labels(text), there)
        if wanted > there:
            raise UserError(f"{flag}: {wanted} labels are more than the {there} train transitions")
