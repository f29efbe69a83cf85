"""What a study of the hierarchy compares, and what can be said of that before hours of training."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.hilam_study.arms import Arm
from experiments.preset_flag import read_preset
from flexlam_jax.errors import UserError
from flexlam_jax.models.bottleneck import trained_budgets
from flexlam_jax.models.lam import frame_shape


@dataclasses.dataclass(frozen=True)
class Presets:
    """The preset, FILE or FILE:variant, of each model that is trained."""

    lam: str
    skills: str
    high: str  # of the high level, which predicts skills
    policy: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
      out: folder of everything.          presets: of what is trained.
      simulator: dataset of prepare that is recorded, with `demonstrations` of each of the `tasks`, in
        pictures of `size` pixels a side.
      data: dataset folder, "" for one that is recorded.
      cameras: that policies look through, the first of them latent actions too; () for the only one.
      gap: frames of a latent action.
      suite, protocol: of evaluate_policy.      episodes: of each task and policy.
      execute: actions of a chunk that are done before the next is decided; 0 for means of all chunks
        (temporal ensembling).
      arms: what is trained.      shares: of the demonstrations, in percent, ascending.
      seeds: of training.
    """

    out: Path
    presets: Presets
    simulator: str
    tasks: tuple[str, ...]
    demonstrations: int
    size: int
    data: str
    cameras: tuple[str, ...]
    gap: int
    suite: str
    protocol: str
    episodes: int
    execute: int
    arms: tuple[Arm, ...]
    shares: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def data_path(self) -> str:
        """The dataset folder."""
        return self.data or str(self.out / "data")

    def shares_of(self, arm: Arm) -> tuple[int, ...]:
        """The shares that an arm is trained on."""
        return self.shares if arm.curve else self.shares[-1:]

    def cells(self) -> Iterator[tuple[int, Arm, int]]:
        """(seed, arm, share) of every policy."""
        for seed in self.seeds:
            for arm in self.arms:
                for share in self.shares_of(arm):
                    yield seed, arm, share

    def told(self) -> dict[str, Any]:
        """JSON-able, without the folder."""
        told = dataclasses.asdict(self)
        return {key: value for key, value in told.items() if key != "out"}


def size_of(presets: Presets) -> int:
    """Pixels of a side of the pictures that the presets' models read.

    Raises:
      ConfigError: no such preset.
      UserError: they differ, or are no squares.
    """
    read = {
        flag: frame_shape(read_preset(preset).model)[:2]
        for flag, preset in (
            ("lam", presets.lam),
            ("high", presets.high),
            ("policy", presets.policy),
        )
    }
    height, width = read["lam"]
    if height != width or len(set(read.values())) > 1:
        told = ", ".join(f"--{flag}_config reads {h}x{w}" for flag, (h, w) in read.items())
        raise UserError(f"{told}; all models of a study see the same square pictures")
    return height


def gap_of(preset: str) -> int:
    """Frames of a latent action of a LAM's preset.

    Raises:
      ConfigError: no such preset.
      UserError: it is no LAM's, or its gap is no number of frames.
    """
    config = read_preset(preset)
    kind = config.get("kind", "lam")
    if kind != "lam":
        raise UserError(f"--lam_config={preset} is a preset of kind {kind!r}; give one of a LAM")
    gap = config.data.get("gap", 1)
    if not isinstance(gap, int):
        raise UserError(
            f"--lam_config={preset}: config.data.gap={gap!r}, but latent actions that become skills "
            "span one number of frames; give a preset with such a gap"
        )
    return gap


def check_prefixes(preset: str, prefixes: tuple[int, ...]) -> None:
    """Raises UserError for prefixes that the LAM of a preset is never trained at."""
    trained = trained_budgets(read_preset(preset).model)
    never = [k for k in prefixes if k not in trained]
    if never:
        raise UserError(
            f"--prefixes: a LAM by --lam_config={preset} is trained at "
            f"{', '.join(map(str, trained))} slots, never at {', '.join(map(str, never))}"
        )
