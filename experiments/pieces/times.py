"""How long the stages of a study took, as a table."""

from collections.abc import Mapping

from flexlam_jax.reports.results import Column, Table

_CLOCKS = ("seconds", "cpu_seconds")


def times_table(stages: Mapping[str, Mapping[str, float]]) -> Table:
    """How long each stage took; `stages` is that of `runner.seconds_by_stage`."""
    sums = {key: sum(of[key] for of in stages.values()) for key in ("pieces", *_CLOCKS)}
    rows = [
        {"stage": name, "pieces": int(of["pieces"])}
        | {key: f"{of[key] / 60:.1f}" for key in _CLOCKS}
        for name, of in {**stages, "all": sums}.items()
    ]
    return Table(
        "Time",
        rows,
        [
            Column("stage", "stage"),
            Column("pieces", "pieces"),
            Column("seconds", "minutes by the clock"),
            Column("cpu_seconds", "CPU minutes"),
        ],
        caption="Of all pieces together. Several run side by side: by the clock the sweep is shorter.",
    )
