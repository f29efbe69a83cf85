"""The report of evaluate_lam: what is told beside what was measured, and its files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import provenance
from flexlam_jax.evaluation.lam import probe_rows, report_page, report_summary
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.clip import Clip
from flexlam_jax.reports.results import PictureGrid, plain


def complete(report: dict[str, Any], main_name: str, lams: Mapping[str, Any]) -> None:
    """Adds title, summary and the footer to what the library measured."""
    data, settings = report["data"], report["settings"]
    seeds = ", ".join(str(lam.config.get("seed")) for lam in lams.values())
    names = ", ".join(data["datasets"])
    source = f" of {', '.join(data['labels_from'])}" if "labels_from" in data else ""
    report["title"] = (
        f"{main_name} on {names if len(names) < 60 else str(len(data['datasets'])) + ' datasets'}"
    )
    report["summary"] = report_summary.sentences(report)
    report["run"] = {
        "command": provenance.command("experiments.evaluate_lam"),
        "models": "; ".join(f"{name}, step {lam.step}" for name, lam in lams.items()),
        "data": (
            f"{names}; split {data['split']}, {data['test_transitions']} transitions of "
            f"{data['test_episodes']} episodes, {data['decoded_transitions']} of them decoded; "
            f"{data['train_transitions']} train transitions{source} for probes; gap {data['gap']}"
        ),
        "seeds": (
            f"one training seed per model ({seeds}); {settings['draws']} label draws, "
            f"evaluation seed {settings['seed']}"
        ),
        "hardware": provenance.hardware(),
        "versions": provenance.versions(),
        "date": provenance.date(),
    }


def write(
    out: Path, report: Mapping[str, Any], pictures: PictureGrid, clips: Sequence[Clip]
) -> None:
    """Writes report.json, probes.csv where there were labels, and report.html."""
    text = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
    write_atomically(out / "report.json", text)
    if report["metric"]:
        write_atomically(out / "probes.csv", probe_rows.as_csv(report))
    write_atomically(out / "report.html", report_page.render(report, pictures, clips))
