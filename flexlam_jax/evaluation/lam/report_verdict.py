"""What a report shows of leakage, of rows without labels, and of the verdict on both."""

from collections.abc import Mapping

from flexlam_jax.evaluation.lam import label_free, leakage
from flexlam_jax.reports.page import Charts, Findings, Section
from flexlam_jax.reports.results import Cell, Column, Curve, Series, Table, used
from flexlam_jax.reports.tables import format_number

INTERVALS = (
    "± is half of a 95 % bootstrap interval over test episodes (of probes, label draws too)."
)
CURVES = {"action": "action", "endogenous": "endogenous change", "exogenous": "exogenous change"}


def findings(report: Mapping) -> Findings:
    """The verdict as a box of sentences."""
    return Findings("Verdict", sentences(report))


def sentences(report: Mapping) -> list[str]:
    """The verdict, what to beware of, and what was not measured."""
    verdict = report["verdict"]
    missing = [f"Not measured: {one['rows']}; {one['why']}." for one in verdict["missing"]]
    return [*verdict["lines"], verdict["caution"], *missing]


def charts(report: Mapping) -> list[Section]:
    """What each prefix length carries of the agent's doing and of the rest."""
    found = report.get("leakage", {}).get("models", {})
    curves = [curve for name, rows in found.items() if (curve := _curve(name, rows)).series]
    caption = (
        "R^2 of probes with all labels, see the table; what the agent does not control should be 0."
    )
    return [Charts("What the code carries, by prefix length", curves, caption)] if curves else []


def tables(report: Mapping) -> list[Table]:
    """Leakage first, where it was measured."""
    found = report.get("leakage", {})
    shown = [_leakage(found)] if "models" in found else []
    shown += [_regions(found["regions"])] if "regions" in found else []
    return [*shown, _label_free(report), _checks(report)]


def _curve(model: str, rows) -> Curve:
    prefixes = [row for row in rows if "k" in row]
    series = [
        Series(title, [(row["k"], row[key]) for row in prefixes])
        for key, title in CURVES.items()
        if prefixes and key in prefixes[0]
    ]
    return Curve(model, series, x_label="slots kept, k", x_name="k", y_label="R^2", digits=3)


def _leakage(found: Mapping) -> Table:
    rows = [{"model": name, **row} for name, of in found["models"].items() for row in of]
    rows += [{"model": "beside", **row} for row in found["baselines"]]
    left_out = "".join(
        f" {name} {why}, so it is left out." for name, why in found["left_out"].items()
    )
    return _by_model("What the code carries", rows, leakage.COLUMNS, f"{leakage.CAPTION}{left_out}")


def _regions(found: Mapping) -> Table:
    rows = [{"model": name, **row} for name, of in found.items() for row in of]
    return _by_model(
        "What is reconstructed where", rows, leakage.REGION_COLUMNS, leakage.REGION_CAPTION
    )


def _label_free(report: Mapping) -> Table:
    """With the rows of reconstruction that need no labels either."""
    rows = []
    for model in report["models"]:
        of_k = {row["k"]: row for row in report["label_free"][model["name"]]}
        for row in model["reconstruction"]:
            shown = {key: row[key] for key in ("k", "gain", "delta_psnr")}
            rows.append({"model": model["name"], **shown, **of_k.get(row["k"], {})})
    first, *others = label_free.COLUMNS
    columns = [first, Column("gain", "gain dB"), Column("delta_psnr", "ΔPSNR dB"), *others]
    return _by_model("Without labels", rows, columns, label_free.CAPTION)


def _checks(report: Mapping) -> Table:
    rows = [
        {
            "model": model,
            **one,
            "value": Cell(format_number(one["value"], 2), one["value"]),
            "passes": "yes" if one["passes"] else "no",
        }
        for model, checks in report["verdict"]["checks"].items()
        for one in checks
    ]
    keys = {"model": "model", "check": "check", "k": "k", "value": "value", "wanted": "wanted"}
    keys |= {"passes": "passes", "why": "what a failure means"}
    return Table(
        "Checks without labels",
        rows,
        [Column(key, title) for key, title in keys.items()],
        index=("model", "check"),
        caption="A check passes where its whole interval does. The values wanted are conventions: "
        "docs/exogenous/report.md tells their reasons, and what they were seen to be worth.",
    )


def _by_model(title: str, rows: list, columns, caption: str) -> Table:
    """With a column for the model, and only the columns that some row has."""
    shown = [Column("model", "model"), *used(columns, rows)]
    return Table(title, rows, shown, index=("model",), caption=f"{caption} {INTERVALS}")
