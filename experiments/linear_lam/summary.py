"""Rows of measurements as numbers over seeds, curves and tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.linear_lam.measure import GAP, Row
from experiments.linear_lam.sweeps import Sweep
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.reports.results import Cell, Column, Curve, Number, Series, Table

_KEYS = ("sweep", "arm", "x", "prefix")
Point = Mapping[str, Any]
MEASURED = ("action", "exogenous")


def points(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A point per sweep, arm, x and prefix: numbers over seeds."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in _KEYS), []).append(row)
    return [dict(zip(_KEYS, key, strict=True)) | _over_seeds(of) for key, of in groups.items()]


def _over_seeds(rows: Sequence[Row]) -> dict[str, Number]:
    named = [name for name in rows[0] if name not in (*_KEYS, "seed", "sampled")]
    return {
        # Closed forms are the same for every seed, but for rounding.
        name: over_seeds([round(row[name], 9) for row in rows], name)
        for name in named
        if all(row[name] is not None for row in rows)
    }


def reached(rows: Sequence[Row]) -> dict[str, float | None]:
    """The worst of all fits: loss over its minimum, angle in degrees, turning point off by.

    The first two also of fits on samples alone, and without "sampled" of the others; None where there
    are none, or where some order never turns.
    """
    turns = [one.get("turn") for one in turning_points(rows)]
    told = {"turn": max(abs(turn.mean - 1) for turn in turns) if turns and all(turns) else None}
    for end, sampled in (("", False), ("_sampled", True)):
        mine = [row for row in rows if row["sampled"] == sampled]
        for name in ("excess", "angle"):
            values = [row[name] for row in mine if row[name] is not None]
            told[name + end] = max(values, default=None)
    return told


def turning_points(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of every arm of the sweep "threshold": where the action NMSE is 1/2, over the prediction.

    "turn" is missing where it is 1/2 nowhere, with some seed.
    """
    arms = dict.fromkeys(row["arm"] for row in rows if row["sweep"] == "threshold")
    found = []
    for arm in arms:
        mine = [row for row in rows if (row["sweep"], row["arm"]) == ("threshold", arm)]
        seeds = dict.fromkeys(row["seed"] for row in mine)
        turns = [_crossing([row for row in mine if row["seed"] == seed]) for seed in seeds]
        turned = {"turn": over_seeds(turns, "of the prediction")} if None not in turns else {}
        found.append({"arm": arm} | turned)
    return found


def _crossing(rows: Sequence[Row]) -> float | None:
    """x where the action NMSE passes 1/2, on the line between its neighbours; None if nowhere."""
    ordered = sorted(rows, key=lambda row: row["x"])
    for one, other in zip(ordered, ordered[1:], strict=False):
        high = (one["action"] - 0.5, other["action"] - 0.5)
        if high[0] * high[1] <= 0 and high[0] != high[1]:
            return one["x"] + (other["x"] - one["x"]) * high[0] / (high[0] - high[1])
    return None


def curves(found: Sequence[Point], sweep: Sweep) -> list[Curve]:
    """What is drawn of a sweep: trained as markers with intervals, closed forms as lines."""
    mine = [point for point in found if point["sweep"] == sweep.name]
    if sweep.name != "prefixes":
        return [_curve(mine, sweep, name, "x") for name in _drawn(sweep)]
    return [
        _curve([point for point in mine if point["x"] == noise], sweep, name, "prefix", noise)
        for noise in dict.fromkeys(point["x"] for point in mine)
        for name in _drawn(sweep)
    ]


def _drawn(sweep: Sweep) -> tuple[str, ...]:
    return ("observation_true", "llo_true") if sweep.name == "shift" else MEASURED


_NAMES = {"action": "action", "exogenous": "exogenous", "observation_true": "observation"}


def _curve(
    points: Sequence[Point], sweep: Sweep, name: str, at: str, noise: float | None = None
) -> Curve:
    series = []
    for arm in dict.fromkeys(point["arm"] for point in points):
        of = [point for point in points if point["arm"] == arm]
        words = arm if noise is None else arm.partition(", noise")[0]
        for end, how in (("", "trained"), ("_closed", "closed form")):
            along = [(point[at], point[name + end]) for point in of]
            series.append(Series(f"{words}, {how}", along, joined=bool(end)))
    title = sweep.title if noise is None else f"{sweep.title}, noise {noise:g}"
    label = f"NMSE {_NAMES[name]}" if name in _NAMES else "LLO"
    return Curve(f"{title}: {label}", series, (), sweep.x, label, sweep.x)


def tables(found: Sequence[Point], rows: Sequence[Row], sweeps: Sequence[Sweep]) -> list[Table]:
    """What was reached, then a table per sweep."""
    turns = [_turn_table(rows)] if any(sweep.name == "threshold" for sweep in sweeps) else []
    return [_reached_table(rows), *turns, *(_sweep_table(found, sweep) for sweep in sweeps)]


def _reached_table(rows: Sequence[Row]) -> Table:
    told = reached(rows)
    words = {
        "excess": ("trained loss over its closed form", "{:.3%}", "1 %"),
        "angle": ("angle to the closed-form subspace", "{:.2f}°", "2°"),
        "turn": ("turning point off its prediction", "{:.1%}", "10 %"),
    }

    def cell(name: str, form: str) -> Cell:
        return Cell("–" if told.get(name) is None else form.format(told[name]))

    cells = [
        {
            "what": what,
            "expected": cell(name, form),
            "sampled": cell(f"{name}_sampled", form),
            "limit": Cell(limit),
        }
        for name, (what, form, limit) in words.items()
    ]
    columns = [Column("what", "worst of all fits"), Column("expected", "of the expected loss")]
    columns += [Column("sampled", "on samples"), Column("limit", "at most")]
    return Table("What was to be reached", cells, columns, ("what",), _worst(rows))


def _worst(rows: Sequence[Row]) -> str:
    """Which fits are the worst."""
    told = []
    for name, words in (("excess", "loss"), ("angle", "angle")):
        for sampled in (False, True):
            of = [row for row in rows if row["sampled"] == sampled and row[name] is not None]
            if of:
                row = max(of, key=lambda row: row[name])
                where = f"{row['sweep']}, {row['arm']}, x = {row['x']:g}, seed {row['seed']}"
                told.append(f"Worst {words}{' on samples' if sampled else ''}: {where}.")
    told.append(f"An angle needs a gain that is {GAP:.0%} of the largest ahead of the next.")
    return " ".join(told)


def _turn_table(rows: Sequence[Row]) -> Table:
    columns = [Column("arm", "objective"), Column("turn", "turns at, of the prediction", 3)]
    return Table("Turning points", turning_points(rows), columns, ("arm",))


def _sweep_table(found: Sequence[Point], sweep: Sweep) -> Table:
    mine = [point for point in found if point["sweep"] == sweep.name]
    rows = [{**point, "x": Cell(f"{point['x']:g}")} for point in mine]
    columns = [Column("arm", "arm"), *_position(sweep)]
    columns += [Column("minimum", "closed-form loss", 3), Column("loss", "trained loss", 3)]
    columns += list(_columns(sweep))
    return Table(sweep.title, rows, columns, ("arm", "x", "prefix"), sweep.about)


def _position(sweep: Sweep) -> Iterator[Column]:
    yield Column("prefix", sweep.x) if sweep.name == "prefixes" else Column("x", sweep.x)


def _columns(sweep: Sweep) -> Iterator[Column]:
    yield Column("angle", "angle, degrees")
    if sweep.name == "shift":
        shown = {"observation_true": "NMSE o by z", "llo_true": "LLO of z"}
    else:
        shown = {name: f"NMSE {name}" for name in MEASURED}
    for name, title in shown.items():
        yield from (Column(name, title), Column(f"{name}_closed", "closed form"))
    if sweep.name != "shift":
        yield Column("llo", "LLO of the surrogate")
