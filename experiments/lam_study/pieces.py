"""A study as a list of commands: nothing runs here."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from experiments.lam_study.variants import Variant
from experiments.pieces.config_flags import with_variants
from experiments.pieces.piece import Piece

DATA, REPORT = "data", "report"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
      out: folder of everything.      config: preset, FILE or FILE:variant.
      prepared: dataset of prepare that is made where `data`, a dataset folder, is "".
      seeds: of training.             budgets: prefix lengths, and K of Fixed-K.
      labels: numbers, shares or all, each in `draws` draws, of the train split.
      split: that accuracies and pictures are of.
    """

    out: Path
    config: str
    prepared: str
    data: str
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    labels: tuple[str, ...]
    draws: int
    split: str

    @property
    def data_path(self) -> str:
        """The dataset folder."""
        return self.data or str(self.out / DATA)


def lam_name(variant: Variant, seed: int) -> str:
    """The piece, and its folder, that trains a variant."""
    return f"seed{seed}/lam/{variant.name}"


def pieces(settings: Settings, variants: list[Variant]) -> list[Piece]:
    """Everything that a study runs, in an order in which each comes after what it reads."""
    data = [] if settings.data else [_data(settings)]
    lams = [_lam(settings, variant, seed) for variant in variants for seed in settings.seeds]
    return [*data, *lams, *_reports(settings, variants)]


def _data(settings: Settings) -> Piece:
    flags = (settings.prepared, f"--out={settings.data_path}")
    return Piece(DATA, "data_pipelines.prepare", flags)


def _lam(settings: Settings, variant: Variant, seed: int) -> Piece:
    name = lam_name(variant, seed)
    flags = [f"--config={with_variants(settings.config, [variant.of_preset])}"]
    flags += [f"--config.{text}" for text in variant.overrides]
    flags += [f"--config.data.path={settings.data_path}", f"--config.seed={seed}"]
    flags += [f"--config.compilation_cache={settings.out / 'compiled'}"]
    flags += [f"--workdir={settings.out / name}"]
    reads = () if settings.data else (DATA,)
    return Piece(name, "experiments.pretrain_lam", tuple(flags), reads)


def _reports(settings: Settings, variants: list[Variant]) -> Iterator[Piece]:
    """One evaluation of all variants per seed, with the same label draws."""
    for seed in settings.seeds:
        names = [lam_name(variant, seed) for variant in variants]
        main, *others = [settings.out / name for name in names]
        out = settings.out / f"seed{seed}" / REPORT
        flags = [f"--checkpoint={main}", f"--data={settings.data_path}", f"--out={out}"]
        flags += [f"--compare={','.join(f'{path.name}={path}' for path in others)}"]
        flags += [f"--split={settings.split}", f"--draws={settings.draws}"]
        flags += [f"--budgets={','.join(map(str, settings.budgets))}"]
        flags += [f"--label_counts={','.join(settings.labels)}"]
        flags += [f"--compilation_cache={settings.out / 'compiled'}"]
        yield Piece(
            f"seed{seed}/{REPORT}",
            "experiments.evaluate_lam",
            tuple(flags),
            tuple(names),
            REPORT,
            seed,
        )
