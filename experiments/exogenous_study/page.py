"""The tables and curves of a study."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.exogenous_study import values
from experiments.exogenous_study.pieces import Settings
from experiments.exogenous_study.remedies import ORDERED, PLAIN
from experiments.exogenous_study.values import CARRIED, Row, by_seed, combined
from flexlam_jax.evaluation import rank_correlation
from flexlam_jax.reports.figure import figure
from flexlam_jax.reports.results import Column, Curve, Number, Series, Table
from flexlam_jax.reports.tables import as_markdown

TITLE = "What the agent does not control, on ViZDoom video"
ACTION, EXOGENOUS = "accuracy", "exogenous"
TITLES = {ACTION: "action, accuracy", EXOGENOUS: "exogenous change, R^2"}
INTERVALS = "± is half of a 95 % interval (Student's t) over training seeds."


def about(s: Settings) -> str:
    """What was compared."""
    return (
        f"{s.transitions} transitions of `{s.task}` with the distractors {', '.join(s.distractors)} at "
        f"strengths {', '.join(f'{one:g}' for one in s.strengths)}; {len(s.seeds)} training "
        f"seed{'s' if len(s.seeds) > 1 else ''} of "
        f"`{s.config}`, measured on the {s.split} split by probes with all labels of the train split. "
        f"Remedies with labels see the actions of {s.labels} of the train split. {INTERVALS}"
    )


def tables(rows: Sequence[Row], s: Settings) -> list[Table]:
    """Those that there are rows of."""
    found = [
        _carried(rows, s),
        _recovered(rows, s),
        _slots(rows, s),
        _ordered(rows, s),
        _without_labels(rows, s),
    ]
    return [table for table in found if table.rows]


def svg(rows: Sequence[Row], s: Settings) -> str:
    """Action and distractors by prefix: of the plain model by strength, of remedies at the largest."""
    strongest = s.remedied[-1]
    curves = []
    for key in (ACTION, EXOGENOUS):
        plain = [
            Series(f"plain, strength {strength:g}", _points(rows, s, PLAIN, strength, key))
            for strength in s.strengths
        ]
        remedies = [
            Series(one.name, _points(rows, s, one.name, strongest, key)) for one in s.remedies
        ]
        for title, series in (("by strength", plain), (f"strength {strongest:g}", remedies)):
            held = [one for one in series if one.points]
            curves.append(
                Curve(f"{TITLES[key]}: {title}", held, x_label="slots kept, k", x_name="k")
            )
    return figure(curves)


def markdown(shown: Sequence[Table], s: Settings, made: Mapping[str, str]) -> str:
    """All tables for docs/results."""
    parts = [f"# {TITLE}", about(s), "\n".join(f"- {name}: {text}" for name, text in made.items())]
    parts.append(f"![{TITLE}](figure.svg)")
    for table in shown:
        parts += [f"## {table.title}", as_markdown(table)]
    return "\n\n".join(parts) + "\n"


def _points(rows, s: Settings, remedy: str, strength: float, key: str) -> list[tuple[int, Number]]:
    found = [(k, _number(values.prefixes(rows, k), remedy, strength, key)) for k in s.budgets]
    return [(k, number) for k, number in found if number is not None]


def _number(rows: Sequence[Row], remedy: str, strength: float, key: str) -> Number | None:
    return combined(lambda x: x, key, by_seed(rows, remedy, strength, key))


def _trained(s: Settings) -> Iterator[tuple[float, Any]]:
    """(strength, remedy) of everything that was trained."""
    for strength in s.strengths:
        for remedy in s.remedies_at(strength):
            yield strength, remedy


def _carried(rows: Sequence[Row], s: Settings) -> Table:
    shown = []
    for strength, remedy in _trained(s):
        row: dict[str, Any] = {"strength": strength, "remedy": remedy.name, "knows": remedy.knows}
        for key in (ACTION, EXOGENOUS):
            for k, number in _points(rows, s, remedy.name, strength, key):
                row[f"{key}_{k}"] = number
        shown.append(row)
    columns = [
        Column("strength", "strength"),
        Column("remedy", "remedy"),
        Column("knows", "is told"),
    ]
    columns += [
        Column(f"{key}_{k}", f"{TITLES[key]}, k = {k}", 3)
        for key in (ACTION, EXOGENOUS)
        for k in s.budgets
    ]
    caption = "; ".join(f"{one.name}: {one.about}" for one in s.remedies)
    return Table(
        "What the first k slots carry",
        shown,
        columns,
        index=("strength", "remedy"),
        caption=caption,
    )


def _recovered(rows: Sequence[Row], s: Settings) -> Table:
    """Accuracy over that of the plain model at the least strength, with the same seed."""
    shown = []
    for strength, remedy in _trained(s):
        if strength == s.strengths[0]:
            continue
        row: dict[str, Any] = {"strength": strength, "remedy": remedy.name}
        for k in s.budgets:
            of_k = values.prefixes(rows, k)
            pair = (
                by_seed(of_k, remedy.name, strength, ACTION),
                by_seed(of_k, PLAIN, s.strengths[0], ACTION),
            )
            row[f"k{k}"] = combined(lambda x, least: x / least, "share", *pair)
        shown.append(row)
    columns = [Column("strength", "strength"), Column("remedy", "remedy")]
    columns += [Column(f"k{k}", f"k = {k}", 3) for k in s.budgets]
    return Table(
        f"Share of the accuracy that plain models have at strength {s.strengths[0]:g}",
        shown,
        columns,
        index=("strength", "remedy"),
    )


def _slots(rows: Sequence[Row], s: Settings) -> Table:
    shown = []
    slots = sorted({row["slot"] for row in rows if "slot" in row})
    for strength, remedy in _trained(s):
        row: dict[str, Any] = {"strength": strength, "remedy": remedy.name}
        for slot in slots:
            alone = [one for one in rows if one.get("slot") == slot]
            for key in (ACTION, EXOGENOUS):
                row[f"{key}_{slot}"] = _number(alone, remedy.name, strength, key)
        shown.append(row)
    columns = [Column("strength", "strength"), Column("remedy", "remedy")]
    columns += [
        Column(f"{key}_{slot}", f"{TITLES[key]}, slot {slot}", 3)
        for key in (ACTION, EXOGENOUS)
        for slot in slots
    ]
    return Table(
        "What each slot carries by itself", shown if slots else [], columns, ("strength", "remedy")
    )


def _ordered(rows: Sequence[Row], s: Settings) -> Table:
    """Ordered by control minus ordered by variance, seed by seed, at the shortest prefix."""
    k = s.budgets[0]
    of_k = values.prefixes(rows, k)
    shown = []
    for strength, remedy in _trained(s):
        if remedy.name not in ORDERED:
            continue
        row: dict[str, Any] = {"strength": strength, "remedy": remedy.name}
        for key in (ACTION, EXOGENOUS):
            pair = [by_seed(of_k, name, strength, key) for name in (remedy.name, PLAIN)]
            row[key] = combined(lambda ordered, plain: ordered - plain, key, *pair)
        shown.append(row)
    columns = [Column("strength", "strength"), Column("remedy", "slots ordered by control")]
    columns += [Column(key, title, 3) for key, title in TITLES.items()]
    return Table(f"Ahead of plain FlexLAM at k = {k}", shown, columns, index=("strength", "remedy"))


def _without_labels(rows: Sequence[Row], s: Settings) -> Table:
    """How well each row without labels ranks all models, at the longest prefix."""
    of_k = values.prefixes(rows, s.budgets[-1])
    names = dict.fromkeys(key for row in of_k for key in row)
    beside = {"strength", "seed", "remedy", "k", "action", "action_nmse", "psnr", *CARRIED}
    scores = {
        name: [row.get(name) for row in of_k]
        for name in names
        if name not in beside and not name.endswith("_shuffled")
    }
    labelled = {TITLES[key]: [row.get(key) for row in of_k] for key in (ACTION, EXOGENOUS)}
    return rank_correlation.table(
        scores, labelled, title=f"Which rows rank models as labels do, k = {s.budgets[-1]}"
    )
