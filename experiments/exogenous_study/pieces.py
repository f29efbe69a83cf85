"""A study as a list of commands: nothing runs here."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.exogenous_study.remedies import LABELLED, Remedy
from experiments.pieces.config_flags import listed, with_variants
from experiments.pieces.piece import Piece
from experiments.preset_flag import read_preset

DATA, REPORT = "data", "report"
WORLD = "a"  # the exogenous process that is trained and measured on; partners show the other one


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
      out: folder of everything.      config: preset of the LAM, FILE or FILE:variant.
      task: of prepare doom, recorded by sticky play.      transitions: that are recorded of it, in
        pictures of `size` pixels a side.
      distractors: what is added to its frames.
      strengths: of them, in 0..1, ascending; plain models are trained at each.
      remedied: the strengths at which remedies are trained too.
      seeds: of training.      remedies: what is trained, the plain model first.
      labels: share of the train split whose actions remedies with labels are told.
      budgets: prefix lengths that are measured.      split: that is measured.
    """

    out: Path
    config: str
    task: str
    transitions: int
    size: int
    distractors: tuple[str, ...]
    strengths: tuple[float, ...]
    remedied: tuple[float, ...]
    seeds: tuple[int, ...]
    remedies: tuple[Remedy, ...]
    labels: str
    budgets: tuple[int, ...]
    split: str

    def remedies_at(self, strength: float) -> tuple[Remedy, ...]:
        """What is trained at a strength."""
        return self.remedies if strength in self.remedied else self.remedies[:1]

    def told(self) -> dict[str, Any]:
        """JSON-able, without the folder."""
        told = dataclasses.asdict(self)
        return {key: value for key, value in told.items() if key != "out"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """Whose report it is."""

    strength: float
    seed: int


def pieces(settings: Settings) -> list[Piece]:
    """Everything that a study runs, in an order in which each comes after what it reads."""
    found = [_data(settings, strength) for strength in settings.strengths]
    for seed in settings.seeds:
        for strength in settings.strengths:
            found += _cell(settings, Cell(strength, seed))
    return found


def report_path(settings: Settings, cell: Cell) -> Path:
    """Where the numbers of a cell are."""
    return settings.out / _name(cell, REPORT) / "report.json"


def _cell(s: Settings, cell: Cell) -> Iterator[Piece]:
    """The models of one seed at one strength, and their evaluation side by side."""
    remedies = s.remedies_at(cell.strength)
    yield from (_model(s, cell, remedy) for remedy in remedies)
    names = [_model_name(cell, remedy) for remedy in remedies]
    main, *others = [s.out / name for name in names]
    name = _name(cell, REPORT)
    flags = [f"--checkpoint={main}", *_shown(s, cell), f"--out={s.out / name}"]
    flags += [f"--compare={','.join(f'{path.name}={path}' for path in others)}"] if others else []
    flags += [f"--split={s.split}", f"--budgets={','.join(map(str, s.budgets))}"]
    flags += ["--label_counts=all", "--draws=2", "--decode_limit=1000", "--leakage"]
    flags += [f"--compilation_cache={s.out / 'compiled'}"]
    yield Piece(name, "experiments.evaluate_lam", tuple(flags), tuple(names), REPORT, cell)


def _data(s: Settings, strength: float) -> Piece:
    """At strength 0 nothing shows, in datasets that are otherwise the same."""
    name = _data_name(strength)
    flags = ("doom", f"--out={s.out / name}", f"--plan={s.task}={s.transitions}")
    flags += (f"--size={s.size}",)
    added = (f"--distractor={','.join(s.distractors)}", f"--distractor-strength={strength:g}")
    return Piece(name, "data_pipelines.prepare", (*flags, *added, "--exogenous-pairs", "--masks"))


def _model(s: Settings, cell: Cell, remedy: Remedy) -> Piece:
    name = _model_name(cell, remedy)
    if remedy.learns_from == LABELLED:
        preset = with_variants(s.config, []).replace(",", "+")
        variants = f"of={preset},scratch" + (",debug" if ":debug" in s.config else "")
        flags = [f"--config=experiments/configs/lam_finetune.py:{variants}"]
        flags += [f"--config.labelled.labels={s.labels}", *_as_long(s.config)]
    else:
        flags = [f"--config={s.config}"]
    flags += [f"--config.{text}" for text in remedy.overrides]
    flags += [f"--config.data.path={s.out / _data_name(cell.strength)}"]
    flags += [f"--config.data.datasets={listed([_dataset(s)])}", f"--config.seed={cell.seed}"]
    flags += [f"--config.compilation_cache={s.out / 'compiled'}", f"--workdir={s.out / name}"]
    return Piece(name, "experiments.train", tuple(flags), (_data_name(cell.strength),))


def _as_long(preset: str) -> list[str]:
    """Steps and rate of the preset, for a model that has a preset of its own."""
    config = read_preset(preset)
    flags = [f"--config.total_steps={config.total_steps}"]
    return flags + [
        f"--config.optimizer.{key}={config.optimizer[key]}"
        for key in ("learning_rate", "warmup_steps")
    ]


def _shown(s: Settings, cell: Cell) -> list[str]:
    return [f"--data={s.out / _data_name(cell.strength)}", f"--datasets={_dataset(s)}"]


def _dataset(s: Settings) -> str:
    return f"{s.task}_{WORLD}"


def _data_name(strength: float) -> str:
    return f"shared/{DATA}/strength_{strength:g}"


def _model_name(cell: Cell, remedy: Remedy) -> str:
    return f"{_name(cell, 'lam')}/{remedy.name}"


def _name(cell: Cell, of: str) -> str:
    return f"seed{cell.seed}/{of}/strength_{cell.strength:g}"
