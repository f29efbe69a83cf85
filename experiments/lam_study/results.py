"""What a study found: accuracy and pictures by variant and prefix length, over training seeds.

All variants of a seed are measured in one evaluation, on the same label draws and episodes, so
differences between variants are taken seed by seed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import provenance
from experiments.lam_study.pieces import REPORT, Settings, lam_name
from experiments.lam_study.variants import FIXED, PRESET, Variant
from experiments.pieces.runner import Runner
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.results import Column, Number, Table, plain
from flexlam_jax.reports.tables import as_markdown, as_text
from flexlam_jax.typed_json import read_json

TITLE = "What makes a latent action model good"
FORMAT = 1
PSNR = "PSNR"
# seed -> variant -> (PSNR or number of labels, k) -> value
Values = dict[int, dict[str, dict[tuple[str, int], float]]]


def write_results(runner: Runner, settings: Settings, variants: Sequence[Variant]) -> None:
    """Writes results.json and results.md, and prints the tables."""
    values = {seed: _of_seed(settings, seed) for seed in settings.seeds}
    costs = _costs(runner, settings, variants)
    shown = tables(values, costs, settings.labels, settings.budgets, variants)
    made = provenance.made_by("experiments.lam_study")
    told = {"format": FORMAT, **made, "tables": [{"title": t.title, "rows": t.rows} for t in shown]}
    text = json.dumps(plain(told), indent=1, allow_nan=False) + "\n"
    write_atomically(settings.out / "results.json", text)
    write_atomically(settings.out / "results.md", markdown(shown, made, settings))
    for table in shown:
        print(f"\n{as_text(table)}")
    print(settings.out / "results.md")


def tables(
    values: Values,
    costs: Mapping[str, Number],
    labels: Sequence[str],
    budgets: Sequence[int],
    variants: Sequence[Variant],
) -> list[Table]:
    """A table of accuracy for each number of labels, one of PSNR, and one of what was changed."""
    found = [
        _table(values, f"Accuracy with {count} labels", count, budgets, variants, 3)
        for count in labels
    ]
    found.append(_table(values, "PSNR in dB", PSNR, budgets, variants, 2))
    rows = [
        {"variant": one.name, "about": one.about, "cost": costs.get(one.name)} for one in variants
    ]
    columns = [Column("variant", "variant"), Column("about", "what it is"), Column("cost", "time")]
    caption = "Time: CPU time of its training, over that of the preset with the same seed."
    return [*found, Table("Variants", rows, columns, index=("variant",), caption=caption)]


def markdown(shown: Sequence[Table], made: Mapping[str, str], settings: Settings) -> str:
    """The tables for docs/results."""
    about = (
        f"`{settings.config}` beside changes of it, {len(settings.seeds)} training seeds, measured "
        f"on the {settings.split} split, each number of labels in {settings.draws} draws. ± is half "
        "of a 95 % interval (Student's t) over seeds. *ahead* is the variant minus Fixed-K at K = k, "
        "seed by seed."
    )
    parts = [f"# {TITLE}", about, "\n".join(f"- {name}: {text}" for name, text in made.items())]
    for table in shown:
        parts += [f"## {table.title}", as_markdown(table)]
    return "\n\n".join(parts) + "\n"


def _table(
    values: Values,
    title: str,
    metric: str,
    budgets: Sequence[int],
    variants: Sequence[Variant],
    digits: int,
) -> Table:
    rows = []
    for variant in variants:
        row: dict[str, Any] = {"variant": variant.name}
        for k in budgets:
            if variant.name.startswith(FIXED) and variant.name != f"{FIXED}{k}":
                continue  # Its decoder never saw another prefix.
            mine = [of[variant.name][metric, k] for of in values.values()]
            row[f"k{k}"] = over_seeds(mine, title)
            if not variant.name.startswith(FIXED):
                fixed = [of[f"{FIXED}{k}"][metric, k] for of in values.values()]
                ahead = [a - b for a, b in zip(mine, fixed, strict=True)]
                row[f"ahead{k}"] = over_seeds(ahead, title)
        rows.append(row)
    columns = [Column("variant", "variant")]
    columns += [Column(f"k{k}", f"k = {k}", digits) for k in budgets]
    columns += [Column(f"ahead{k}", f"ahead, k = {k}", digits) for k in budgets]
    return Table(title, rows, columns, index=("variant",))


def _of_seed(settings: Settings, seed: int) -> dict[str, dict[tuple[str, int], float]]:
    path = settings.out / f"seed{seed}" / REPORT / "report.json"
    report = read_json(path, dict[str, Any], remedy="remove its folder and its marker in finished/")
    return {model["name"]: dict(_of_model(model)) for model in report["models"]}


def _of_model(model: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], float]]:
    for row in model["reconstruction"]:
        yield (PSNR, row["k"]), row["psnr"]["mean"]
    for row in model["probes"]:
        if row["probe"] == "translator":
            yield (row["labels_name"], row["k"]), row["score"]["mean"]


def _costs(runner: Runner, settings: Settings, variants: Sequence[Variant]) -> dict[str, Number]:
    """CPU time of a variant's training over that of the preset, seed by seed."""

    def seconds(variant: Variant) -> np.ndarray:
        names = [lam_name(variant, seed) for seed in settings.seeds]
        return np.array([runner.markers[name].cpu_seconds for name in names])

    (preset,) = (one for one in variants if one.name == PRESET)
    return {one.name: over_seeds(seconds(one) / seconds(preset), "ratio") for one in variants}
