"""The curves of a report on latent action models: everything against the prefix length."""

from collections.abc import Mapping

from flexlam_jax.evaluation.lam.report_tables import (
    BASELINE_NAMES,
    label_counts,
    metric_name,
    perceptual_name,
    title_of,
)
from flexlam_jax.reports.results import Curve, Level, Series

X = {"x_label": "slots kept, k", "x_name": "k"}


def reconstruction_curves(report: Mapping) -> list[Curve]:
    """PSNR, SSIM and perceptual distance against k, beside copying o_t."""
    copy = report["baselines"]["copy"]
    return [
        Curve(
            title,
            [
                Series(title_of(model), [(row["k"], row[key]) for row in model["reconstruction"]])
                for model in report["models"]
            ],
            [Level("copy o_t", copy[key].mean)],
            y_label=title,
            digits=digits,
            **X,
        )
        for key, title, digits in (
            ("psnr", "PSNR, dB", 2),
            ("ssim", "SSIM", 3),
            ("perceptual", f"{perceptual_name(report)}, smaller is nearer", 3),
        )
        if key in copy
    ]


def probe_curves(report: Mapping) -> list[Curve]:
    """Translator scores against k, one curve per label count, beside the baselines."""
    curves = []
    for labels, name in label_counts(report):
        series = [
            Series(
                title_of(model),
                [
                    (row["k"], row["score"])
                    for row in model["probes"]
                    if row["probe"] == "translator" and row["labels"] == labels
                ],
            )
            for model in report["models"]
        ]
        levels = [
            Level(BASELINE_NAMES[row["name"]], row["score"].mean, style)
            for style, baseline in enumerate(BASELINE_NAMES)
            for row in report["baselines"]["probes"]
            if row["labels"] == labels and row["name"] == baseline
        ]
        title = f"{name} labels" if name != "all" else f"all {labels:,} labels"
        curves.append(Curve(title, series, levels, y_label=metric_name(report), digits=3, **X))
    return curves
