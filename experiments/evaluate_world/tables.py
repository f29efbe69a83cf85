"""Results as tables, curves and rows of a CSV file."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.evaluate_world.codes import Codes
from flexlam_jax.evaluation.world.clip_features import RANDOM_CONV, WIDTH
from flexlam_jax.evaluation.world.frechet import caption
from flexlam_jax.evaluation.world.rollouts import COPY, horizon_curves
from flexlam_jax.loading.action_card import CodeCard
from flexlam_jax.reports.results import Cell, Column, Curve, Number, Table, used

CSV_COLUMNS = ("world", "k", "measure", "t", "mean", "low", "high", "n", "unit", "over")
CELLS = {
    "real_real": "real, real",
    "real_generated": "real, generated",
    "generated_real": "generated, real",
    "generated_generated": "generated, generated",
}
OVER = "± is half of a 95 % bootstrap interval over episodes."


def worlds_table(worlds: Mapping[str, Any], horizon: int) -> Table:
    """A row per world and budget, and copying."""
    rows = []
    for name, found in worlds.items():
        for row in found["budgets"]:
            last = row["horizon"][-1]
            shown = {"world": name, "takes": found["takes"], "k": _k(row["k"])}
            shown |= {f"delta_{t}": number for t, number in row["delta_psnr"].items()}
            shown |= {key: last[key] for key in ("psnr", "ssim", "gain_ssim") if key in last}
            if "obedience" in row:
                shown["obedience"] = row["obedience"]["real_generated"]
                shown |= {
                    key: row["obedience"][key]
                    for key in ("relative", "same_code")
                    if key in row["obedience"]
                }
            rows.append(shown)
    last = next(iter(worlds.values()))["budgets"][0]["horizon"][-1]
    copied = {key: last[f"copy_{key}"] for key in ("psnr", "ssim") if f"copy_{key}" in last}
    rows.append({"world": COPY, **copied})
    columns = [
        Column("world", "world"),
        Column("takes", "takes"),
        Column("k", "k"),
        *(Column(f"delta_{t}", f"Δ_{t} PSNR, dB") for t in (1, 4, 8)),
        Column("psnr", f"PSNR, dB, t = {horizon}"),
        Column("ssim", f"SSIM, t = {horizon}", 3),
        Column("gain_ssim", "SSIM above copying", 3),
        Column("obedience", "obedience", 3),
        Column("relative", "of the probe's own", 3),
        Column("same_code", "real steps of that code", 3),
    ]
    return Table(
        "Worlds",
        rows,
        used(columns, rows),
        index=("world", "k"),
        caption="Δ_t PSNR: what is lost after t steps when codes are drawn from those in use instead "
        "of read from the clip. Obedience: share of generated steps from which a probe of real ones "
        "reads the commanded action, mean over actions; beside it what it would be if other real steps "
        f"with the commanded code stood for generated ones. {OVER}",
    )


def cells_table(worlds: Mapping[str, Any]) -> Table | None:
    """The four cells of obedience; None where it was not measured."""
    rows = [
        {"world": name, "k": _k(row["k"]), **{key: row["obedience"].get(key) for key in CELLS}}
        for name, found in worlds.items()
        for row in found["budgets"]
        if "obedience" in row
    ]
    columns = [Column("world", "world"), Column("k", "k")]
    columns += [Column(key, title, 3) for key, title in CELLS.items()]
    if not rows:
        return None
    return Table(
        "Probes fitted on, read from",
        rows,
        columns,
        index=("world", "k"),
        caption="Balanced accuracy of the action. Fitted on real, read from generated transitions: "
        f"obedience. Fitted on generated ones: at the first budget alone. {OVER}",
    )


def codes_table(codes: Sequence[Codes], *, reasons: bool = True) -> Table | None:
    """A row per code, if `reasons` with why it is not validated; None where there are no codes."""
    rows = [
        {
            "k": one.keep,
            "code": Cell(code_name(card)),
            "share": f"{card.share:.3f}",
            "action": card.action or "–",
            "reliability": card.reliability,
            "labels": card.labels,
            "obedience": card.obedience,
            **moved,
            "validated": "yes" if card.validated else "no",
            **({"why": card.why} if reasons else {}),
        }
        for one in codes
        for card, moved in zip(one.cards, one.motion, strict=True)
    ]
    columns = [
        Column("k", "k"),
        Column("code", "code"),
        Column("share", "share of transitions"),
        Column("action", "reads as"),
        Column("reliability", "reliability", 3),
        Column("labels", "labels"),
        Column("obedience", "obedience", 3),
        Column("dx", "to the right, px"),
        Column("dy", "down, px"),
        Column("spread", "spread, px"),
        Column("validated", "validated"),
        Column("why", "why not"),
    ]
    if not rows:
        return None
    return Table(
        "Codes",
        rows,
        used(columns, rows),
        index=("k", "code"),
        caption="The most frequent codes of each budget. Reliability: share of held-out labelled "
        "transitions with the code that have the action it reads as (Wilson interval, an episode "
        "counts as one trial). Obedience: share of the steps under it, one from the start of every "
        "clip, that read as this action. Motion: the shift from one frame to the next; spread: around "
        f"the mean of other episodes. {OVER}",
    )


def typed_table(codes: Sequence[Codes]) -> Table | None:
    """Whether keys of actions do them."""
    rows = [
        {
            "k": one.keep,
            "actions": f"{one.typed['actions']} of {one.typed['of']}",
            **{key: one.typed[key] for key in ("obedience", "relative") if key in one.typed},
        }
        for one in codes
        if one.typed
    ]
    columns = [
        Column("k", "k"),
        Column("actions", "actions with a code"),
        Column("obedience", "obedience", 3),
        Column("relative", "of the probe's own", 3),
    ]
    if not rows:
        return None
    return Table(
        "Keys of actions",
        rows,
        used(columns, rows),
        index=("k",),
        caption="Obedience where each action is commanded by the one code that plays it: of the listed "
        "codes that read as it, the most reliable one on real transitions. Actions without a code count "
        f"as not obeyed. {OVER}",
    )


def separation_table(codes: Sequence[Codes]) -> Table | None:
    """Whether codes are told apart by the motion they cause."""
    rows = [
        {"k": one.keep, "codes": len(one.cards), **one.separation}
        for one in codes
        if one.separation
    ]
    if not rows:
        return None
    return Table(
        "Motion by code",
        rows,
        [
            Column("k", "k"),
            Column("codes", "codes"),
            Column("explained", "squared motion explained by the code", 3),
            Column("accuracy", "codes told by their motion", 3),
        ],
        index=("k",),
        caption=f"On held-out episodes. Chance of the last column is 1 / codes. {OVER}",
    )


def usage_table(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Of the latent action model on the measured split."""
    columns = [
        Column("what", "codes of"),
        Column("used", "in use"),
        Column("of", "of"),
        Column("perplexity", "perplexity"),
        Column("entropy", "bits"),
    ]
    return Table("Codes in use", rows, columns, index=("what",), caption=OVER) if rows else None


def speed_table(worlds: Mapping[str, Any]) -> Table:
    """Latency of one row at a time."""
    rows = [{"world": name, **found["latency"]} for name, found in worlds.items()]
    return Table(
        "Latency",
        rows,
        [
            Column("world", "world"),
            Column("p50", "p50, ms", 1),
            Column("p95", "p95, ms", 1),
            Column("fps", "frames/s", 1),
        ],
        index=("world",),
        caption="From code to frame on the host, one row, as a page plays it. Interval over steps of "
        "this run on this machine.",
    )


def frechet_table(worlds: Mapping[str, Any], clips: int) -> Table | None:
    """Of worlds that it was measured of."""
    rows = [
        {"world": name, **found["frechet"]} for name, found in worlds.items() if "frechet" in found
    ]
    columns = [
        Column("world", "world"),
        Column("frechet", "Fréchet distance", 4),
        Column("floor", "of real clips", 4),
        Column("excess", "above it", 4),
    ]
    if not rows:
        return None
    return Table(
        "Fréchet distance",
        rows,
        columns,
        index=("world",),
        caption=caption(RANDOM_CONV, clips, WIDTH),
    )


def curves(worlds: Mapping[str, Any]) -> list[Curve]:
    """PSNR and SSIM against the horizon, of every world at its longest budget."""
    return horizon_curves(
        {_line(name, found): found["budgets"][-1]["horizon"] for name, found in worlds.items()}
    )


def csv_rows(worlds: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every number of every world, a line each."""
    for name, found in worlds.items():
        for row in found["budgets"]:
            of = {"world": name, "k": "" if row["k"] is None else row["k"]}
            for t, number in row["delta_psnr"].items():
                yield {**of, "measure": "delta_psnr", "t": t, **_told(number)}
            for step in row["horizon"]:
                for key, number in step.items():
                    if isinstance(number, Number):
                        yield {**of, "measure": key, "t": step["t"], **_told(number)}
            for key, number in row.get("obedience", {}).items():
                yield {**of, "measure": f"obedience_{key}", **_told(number)}
        for key, number in found["latency"].items():
            yield {"world": name, "measure": f"latency_{key}", **_told(number)}
        for key, number in found.get("frechet", {}).items():
            yield {"world": name, "measure": key, **_told(number)}


def code_name(card: CodeCard) -> str:
    """Its ids: "3", or "3, 0, 7"."""
    return ", ".join(map(str, card.ids))


def _line(name: str, found: Mapping[str, Any]) -> str:
    k = found["budgets"][-1]["k"]
    return name if k is None else f"{name}, k = {k}"


def _k(k: int | None) -> Any:
    return Cell("–") if k is None else k


def _told(number: Number) -> dict[str, Any]:
    return {key: getattr(number, key) for key in ("mean", "low", "high", "n", "unit", "over")}
