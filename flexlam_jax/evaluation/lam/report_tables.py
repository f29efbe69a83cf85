"""The tables of a report on latent action models: the wording, and what stands beside what."""

from collections.abc import Mapping, Sequence

from flexlam_jax.evaluation.lam import report_verdict
from flexlam_jax.reports.results import Cell, Column, Number, Table
from flexlam_jax.reports.sections import tables_of
from flexlam_jax.reports.tables import format_number

BASELINE_NAMES = {
    "majority": "majority class",
    "observation": "observation only",
    "pixel_pair": "pixel pair",
    "shuffled": "shuffled latents",
    "inverse_model": "inverse model, all labels",
}
SCARCE = 256  # label count that summaries speak of, if it was probed
INTERVAL_NOTE = (
    "± is half of a 95 % bootstrap interval over test episodes (and label draws for "
    "probes); training seeds are not in it."
)


def all_tables(report: Mapping) -> list[Table]:
    """Every table of the report, in reading order."""
    tables = [main_table(report)]
    if report["metric"]:
        tables.append(probe_table(report))
        tables += dataset_tables(report)
    tables.append(code_table(report))
    tables += report_verdict.tables(report)
    for name, by_model in report.get("others", {}).items():
        tables += tables_of(name, by_model)
    return tables


def main_table(report: Mapping) -> Table:
    """One row per model and prefix length, then the baselines."""
    columns = [
        Column("model", "model"),
        Column("k", "k"),
        Column("bits", "bits"),
        Column("psnr", "PSNR dB"),
        Column("gain", "gain dB"),
        Column("ssim", "SSIM", 3),
        *([Column("perceptual", perceptual_name(report), 3)] if "perceptual" in report else []),
        Column("delta_psnr", "ΔPSNR dB"),
        *_score_columns(report, "translator", metric_name(report)),
    ]
    rows = []
    for model in report["models"]:
        scores = _scores_by_k(model, "translator")
        for row in model["reconstruction"]:
            k = row["k"]
            bits = prefix_bits(model, k)
            rows.append({"model": title_of(model), "bits": bits, **row, **scores.get(k, {})})
    blank = {column.key: "" for column in columns}
    copy = report["baselines"]["copy"]
    rows.append({**blank, "model": "copy o_t", "ssim": None, **copy})
    for name, title in BASELINE_NAMES.items():
        of_name = [row for row in report["baselines"]["probes"] if row["name"] == name]
        if of_name:
            scores = {_score_key("translator", row["labels"]): row["score"] for row in of_name}
            rows.append({**blank, "model": title, **scores})
    return Table(
        "What each slot buys",
        rows,
        columns,
        caption="k: slots kept. bits: entropy of the slots kept, added up (an upper bound on what "
        "they carry). gain: PSNR above copying o_t, on the same frames. ΔPSNR: what is lost when "
        "each code is replaced by another transition's. "
        f"{_of_perceptual(report)}{_of_capacity(report)}"
        f"@n: translator fitted on n labels. {INTERVAL_NOTE}",
    )


def probe_table(report: Mapping) -> Table:
    """Translator (MLP) beside linear probe."""
    columns = [
        Column("model", "model"),
        Column("k", "k"),
        *_score_columns(report, "translator", "MLP"),
        *_score_columns(report, "linear", "linear"),
    ]
    rows = []
    for model in report["models"]:
        mlp, linear = _scores_by_k(model, "translator"), _scores_by_k(model, "linear")
        rows += [
            {"model": model["name"], "k": k, **mlp.get(k, {}), **linear.get(k, {})}
            for k in (row["k"] for row in model["reconstruction"])
        ]
    return Table(
        f"Probes: {metric_name(report)} by number of labels",
        rows,
        columns,
        caption="MLP: one hidden layer of 64, the translator of the first table. " + INTERVAL_NOTE,
    )


def dataset_tables(report: Mapping) -> list[Table]:
    """What the translator reads on each dataset, with few labels and with the most; no table where
    there is one dataset."""
    return [
        table
        for labels, name in dict.fromkeys((scarce(report), label_counts(report)[-1]))
        if (table := _dataset_table(report, labels, name)).rows
    ]


def _dataset_table(report: Mapping, labels: int, name: str) -> Table:
    found = [
        {"model": model["name"], "k": row["k"], **row["by_dataset"]}
        for model in report["models"]
        for row in model["probes"]
        if row["labels"] == labels and row["probe"] == "translator" and "by_dataset" in row
    ]
    found += [
        {"model": BASELINE_NAMES[row["name"]], "k": "", **row["by_dataset"]}
        for row in report["baselines"]["probes"]
        if row["labels"] == labels and "by_dataset" in row
    ]
    datasets = [key for key in (found[0] if found else {}) if key not in ("model", "k")]
    return Table(
        f"{metric_name(report).capitalize()} by dataset, {name} labels",
        found,
        [
            Column("model", "model"),
            Column("k", "k"),
            *(Column(one, one, 3) for one in sorted(datasets, key="mean".__ne__)),
        ],
        caption=f"mean: of the datasets, each counting the same. {INTERVAL_NOTE}",
    )


def code_table(report: Mapping) -> Table:
    """Usage of every slot of every model."""
    columns = [
        Column("model", "model"),
        Column("slot", "slot"),
        Column("codes", "codes used"),
        Column("perplexity", "perplexity"),
        Column("entropy", "bits"),
        Column("cumulative_bits", "bits so far"),
    ]
    rows = [
        {"model": model["name"], "codes": _codes_used(slot), **slot}
        for model in report["models"]
        for slot in model["codes"]
    ]
    caption = "Plug-in entropies of each slot by itself. " + INTERVAL_NOTE
    return Table("Code usage per slot", rows, columns, caption=caption)


def title_of(model: Mapping) -> str:
    """The name of a model, with what tells it from one whose prefixes are codes."""
    fixed = model["keep"]["kind"] == "fixed"
    return f"{model['name']} (fixed capacity)" if fixed else model["name"]


def perceptual_name(report: Mapping) -> str:
    """What compared the pictures, as a title; "" where nothing did."""
    return report.get("perceptual", {}).get("name", "")


def _of_perceptual(report: Mapping) -> str:
    found = report.get("perceptual")
    if not found:
        return ""
    weights = "as people judged" if found["weighted"] else "all the same"
    return (
        f"{found['name']}: how far apart two pictures look, smaller is nearer; features of "
        f"{found['network']}, whose channels count {weights} (arXiv 1801.03924). "
    )


def _of_capacity(report: Mapping) -> str:
    if all(model["keep"]["kind"] != "fixed" for model in report["models"]):
        return ""
    return "fixed capacity: trained with this number of slots alone. "


def _codes_used(slot: Mapping) -> Cell:
    if "entropy" in slot:
        return Cell(f"{slot['used']} of {slot['codebook_size']}")
    return Cell(f"continuous, spread {format_number(slot['spread'], 3)}", slot["spread"])


def _score_key(probe: str, labels: int) -> str:
    return f"{probe} {labels}"


def _score_columns(report: Mapping, probe: str, title: str) -> list[Column]:
    """One column per label count."""
    return [
        Column(_score_key(probe, labels), f"{title} @{name}", 3)
        for labels, name in label_counts(report)
    ]


def _scores_by_k(model: Mapping, probe: str) -> dict[int, dict[str, Number]]:
    """k -> {key of a score column: score}."""
    found: dict[int, dict[str, Number]] = {}
    for (k, labels), score in score_lookup(model["probes"], probe).items():
        found.setdefault(k, {})[_score_key(probe, labels)] = score
    return found


def label_counts(report: Mapping) -> list[tuple[int, str]]:
    """(labels, name) of every label count probed, ascending."""
    return sorted({(row["labels"], row["labels_name"]) for row in report["baselines"]["probes"]})


def scarce(report: Mapping) -> tuple[int, str]:
    """(labels, name) of the count that stands for few labels: SCARCE, else the smallest."""
    counts = label_counts(report)
    return next((count for count in counts if count[0] == SCARCE), counts[0])


def metric_name(report: Mapping) -> str:
    return {None: "", "accuracy": "accuracy", "R^2": "R²"}[(report["metric"] or {}).get("name")]


def score_lookup(rows: Sequence[Mapping], probe: str) -> dict[tuple[int, int], Number]:
    """(k, labels) -> score of one kind of probe."""
    return {(row["k"], row["labels"]): row["score"] for row in rows if row["probe"] == probe}


def prefix_bits(model: Mapping, k: int) -> str:
    """Bits of the first k slots, as text."""
    codes = model["codes"]
    if k == 0:
        return "0"
    if k > len(codes) or "cumulative_bits" not in codes[k - 1]:
        return "–"
    return f"{codes[k - 1]['cumulative_bits'].mean:.1f}"
