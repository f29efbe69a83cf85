"""report.html of latent action models: which sections it has, and what they say."""

from collections.abc import Mapping, Sequence

from flexlam_jax.evaluation.lam import report_verdict
from flexlam_jax.evaluation.lam.clips import CAPTION
from flexlam_jax.evaluation.lam.report_curves import probe_curves, reconstruction_curves
from flexlam_jax.evaluation.lam.report_summary import explanation
from flexlam_jax.evaluation.lam.report_tables import all_tables, metric_name
from flexlam_jax.reports.clip import Clip
from flexlam_jax.reports.page import Charts, Clips, Facts, Findings, Pictures, Section, Text, page
from flexlam_jax.reports.results import PictureGrid
from flexlam_jax.reports.sections import curves_of


def render(report: Mapping, pictures: PictureGrid, clips: Sequence[Clip] = ()) -> str:
    """The page of a report of `evaluate` with `title`, `summary` [str], `run` {name: text}."""
    return page(report["title"], sections(report, pictures, clips))


def sections(report: Mapping, pictures: PictureGrid, clips: Sequence[Clip]) -> list[Section]:
    """What the page shows, in reading order."""
    parts: list[Section] = [
        Text(explanation(report), "about"),
        Findings("What this shows", report["summary"]),
        report_verdict.findings(report),
        *map(Text, report["notes"]),
        Pictures("Look at it", pictures),
        *([Clips("Whole clips", clips, CAPTION)] if clips else []),
        Charts("Reconstruction by prefix length", reconstruction_curves(report)),
    ]
    if report["metric"]:
        parts.append(
            Charts(
                f"True action by prefix length, {metric_name(report)}",
                probe_curves(report),
                "Each translator reads the null-filled prefix and was fitted on that many labelled "
                "transitions of the train split; the pixel baselines got the same labels.",
            )
        )
    parts += report_verdict.charts(report)
    for name, by_model in report.get("others", {}).items():
        if curves := curves_of(name, by_model):
            parts.append(Charts(name.replace("_", " ").capitalize(), curves))
    return [*parts, *all_tables(report), Facts("How this was made", report["run"])]
