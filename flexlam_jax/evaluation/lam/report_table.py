"""The tables of a report, as plain cells. The terminal and the HTML page both print these."""

import dataclasses
from collections.abc import Mapping, Sequence

BASELINE_NAMES = {
    "majority": "majority class",
    "observation": "observation only",
    "pixel_pair": "pixel pair",
    "shuffled": "shuffled latents",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """`text` to print; `number` the {mean, low, high, …} behind it, or None."""

    text: str
    number: Mapping | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str


def format_number(number: Mapping | None, digits: int) -> str:
    """ "25.41 ±0.12": the mean and half the interval; only the mean where there is no interval."""
    if number is None:
        return "–"
    mean = f"{round(number['mean'], digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"
    half = (number["high"] - number["low"]) / 2
    return f"{mean} ±{half:.{digits}f}" if half else mean


def all_tables(report: Mapping) -> list[Table]:
    """Every table of the report, in reading order."""
    tables = [main_table(report)]
    if report["metric"]:
        tables.append(probe_table(report))
    return [*tables, code_table(report)]


def main_table(report: Mapping) -> Table:
    """One row per model and prefix length, then the baselines."""
    counts, name = label_counts(report), metric_name(report)
    columns = [
        "model",
        "k",
        "bits",
        "PSNR dB",
        "gain dB",
        "SSIM",
        "ΔPSNR dB",
        *[f"{name} @{label}" for _, label in counts],
    ]
    rows = []
    for model in report["models"]:
        scores = score_lookup(model["probes"], "translator")
        for row in model["reconstruction"]:
            rows.append(
                [
                    Cell(model["name"]),
                    Cell(str(row["k"])),
                    Cell(prefix_bits(model, row["k"])),
                    _cell(row["psnr"], 2),
                    _cell(row["gain"], 2),
                    _cell(row.get("ssim"), 3),
                    _cell(row["delta_psnr"], 2),
                    *[_cell(scores.get((row["k"], labels)), 3) for labels, _ in counts],
                ]
            )
    blank = Cell("")
    copy = report["baselines"]["copy"]
    rows.append(
        [
            Cell("copy o_t"),
            blank,
            blank,
            _cell(copy["psnr"], 2),
            blank,
            _cell(copy.get("ssim"), 3),
            *[blank] * (len(columns) - 6),
        ]
    )
    for baseline, title in BASELINE_NAMES.items():
        scores = {
            row["labels"]: row["score"]
            for row in report["baselines"]["probes"]
            if row["name"] == baseline
        }
        if scores:
            rows.append(
                [Cell(title), *[blank] * 6, *[_cell(scores.get(labels), 3) for labels, _ in counts]]
            )
    return Table(
        "What each slot buys",
        columns,
        rows,
        "k: slots kept. bits: entropy of the slots kept, added up (an upper bound on what they "
        "carry). gain: PSNR above copying o_t, on the same frames. ΔPSNR: what is lost when each "
        "code is replaced by another transition's. "
        f"@n: translator fitted on n labels. {INTERVAL_NOTE}",
    )


def probe_table(report: Mapping) -> Table:
    """Translator (MLP) beside linear probe."""
    counts = label_counts(report)
    columns = [
        "model",
        "k",
        *[f"{probe} @{label}" for probe in ("MLP", "linear") for _, label in counts],
    ]
    rows = []
    for model in report["models"]:
        lookups = [score_lookup(model["probes"], probe) for probe in ("translator", "linear")]
        rows += [
            [
                Cell(model["name"]),
                Cell(str(row["k"])),
                *[
                    _cell(lookup.get((row["k"], labels)), 3)
                    for lookup in lookups
                    for labels, _ in counts
                ],
            ]
            for row in model["reconstruction"]
        ]
    return Table(
        f"Probes: {metric_name(report)} by number of labels",
        columns,
        rows,
        "MLP: one hidden layer of 64, the translator of the first table. " + INTERVAL_NOTE,
    )


def code_table(report: Mapping) -> Table:
    """Usage of every slot of every model."""
    columns = ["model", "slot", "codes used", "perplexity", "bits", "bits so far"]
    rows = []
    for model in report["models"]:
        for slot in model["codes"]:
            start = [Cell(model["name"]), Cell(str(slot["slot"]))]
            if "entropy" in slot:
                rows.append(
                    [
                        *start,
                        Cell(f"{slot['used']} of {slot['codebook_size']}"),
                        _cell(slot["perplexity"], 2),
                        _cell(slot["entropy"], 2),
                        _cell(slot["cumulative_bits"], 2),
                    ]
                )
            else:
                rows.append(
                    [
                        *start,
                        Cell(
                            f"continuous, spread {format_number(slot['spread'], 3)}", slot["spread"]
                        ),
                        Cell("–"),
                        Cell("–"),
                        Cell("–"),
                    ]
                )
    return Table(
        "Code usage per slot",
        columns,
        rows,
        "Plug-in entropies of each slot by itself. " + INTERVAL_NOTE,
    )


INTERVAL_NOTE = (
    "± is half of a 95 % bootstrap interval over test episodes (and label draws for "
    "probes); training seeds are not in it."
)


def label_counts(report: Mapping) -> list[tuple[int, str]]:
    """(labels, name) of every label count probed, ascending."""
    return sorted({(row["labels"], row["labels_name"]) for row in report["baselines"]["probes"]})


def metric_name(report: Mapping) -> str:
    return {None: "", "accuracy": "accuracy", "R^2": "R²"}[(report["metric"] or {}).get("name")]


def score_lookup(rows: Sequence[Mapping], probe: str) -> dict[tuple[int, int], Mapping]:
    """(k, labels) -> score of one kind of probe."""
    return {(row["k"], row["labels"]): row["score"] for row in rows if row["probe"] == probe}


def prefix_bits(model: Mapping, k: int) -> str:
    """Bits of the first k slots, as text."""
    codes = model["codes"]
    if k == 0:
        return "0"
    if k > len(codes) or "cumulative_bits" not in codes[k - 1]:
        return "–"
    return f"{codes[k - 1]['cumulative_bits']['mean']:.1f}"


def as_text(table: Table) -> str:
    """The table in aligned columns for a terminal."""
    lines = [list(table.columns), *[[cell.text for cell in row] for row in table.rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    padded = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, padded))
    return "\n".join([table.title, rule, padded[0], rule, *padded[1:], rule])


def _cell(number: Mapping | None, digits: int) -> Cell:
    return Cell(format_number(number, digits), number)
