"""What the numbers of a report mean for somebody who has to decide, in plain words."""

from collections.abc import Iterator, Mapping
from typing import Any

from flexlam_jax.evaluation.lam.thresholds import CHECKS, LEAKS, MOSTLY
from flexlam_jax.reports.results import Number
from flexlam_jax.reports.tables import format_number

CAUTION = (
    "The checks without labels were not validated on your data: they tell whether the code behaves as "
    "an action would, not whose action it is. A few labelled transitions tell more."
)


def verdict(report: Mapping[str, Any], no_leakage: str, no_perceptual: str = "") -> dict[str, Any]:
    """The verdict on a report of `evaluation.evaluate`.

    Args:
      no_leakage: why no exogenous state is known.
      no_perceptual: why no network compared the pictures; "" where one did, or there are none.

    Returns:
      lines    sentences on every model
      checks   {model: [{check, k, value, wanted, passes, why}]}, at the longest prefix measured; `why`
               says what a check that fails means
      missing  [{rows, why}] of what was not measured
      caution  CAUTION
    """
    checks = {model["name"]: list(_checks(report, model)) for model in report["models"]}
    lines = []
    for model in report["models"]:
        own = [*_leakage(report, model), *_told(checks[model["name"]])]
        lines += [f"{model['name']}: {line}" for line in own] if len(checks) > 1 else own
    missing = list(_missing(report, no_leakage))
    if no_perceptual:
        missing.append({"rows": "perceptual distance", "why": no_perceptual})
    return {"lines": lines, "checks": checks, "missing": missing, "caution": CAUTION}


def _checks(report: Mapping, model: Mapping) -> Iterator[dict[str, Any]]:
    """Every check that there is a number for."""
    last = model["reconstruction"][-1]
    rows = {row["k"]: row for row in report["label_free"].get(model["name"], [])}
    numbers = {**last, **rows.get(last["k"], {}), "slots_in_use": _slots_in_use(model, last["k"])}
    for check in CHECKS:
        number = numbers.get(check.key)
        if number is not None:
            yield {
                "check": check.title,
                "k": last["k"],
                "value": number,
                "wanted": check.wanted,
                "passes": check.passed(number),
                "why": check.why,
            }


def _slots_in_use(model: Mapping, k: int) -> Number | None:
    """Share of the slots of a discrete code that do not nearly always say the same."""
    slots = [slot["perplexity"].mean >= 2 for slot in model["codes"][:k] if "perplexity" in slot]
    share = sum(slots) / len(slots) if slots else 0.0
    return Number(share, share, share, len(slots), "share", "slots") if slots else None


def _told(checks: list[dict[str, Any]]) -> Iterator[str]:
    """How many checks pass, and each that does not."""
    failed = [one for one in checks if not one["passes"]]
    at = f" at k = {checks[0]['k']}" if checks else ""
    yield f"Without labels, {len(checks) - len(failed)} of {len(checks)} checks pass{at}."
    for one in failed:
        value = format_number(one["value"], 2)
        yield f"Not passed: {one['check']}, {value} where {one['wanted']} is wanted: {one['why']}."


def _leakage(report: Mapping, model: Mapping) -> Iterator[str]:
    """What the shortest and the longest prefix carry, and the slot that is the least the agent's."""
    found = report.get("leakage", {})
    rows = found.get("models", {}).get(model["name"], [])
    prefixes = [row for row in rows if row.get("k")]
    for row in dict.fromkeys((0, len(prefixes) - 1)) if prefixes else ():
        yield from _of_prefix(prefixes[row], found["baselines"], _constant_guess(report))
    leaks = [row for row in rows if "exogenous_share" in row and row["exogenous"].low > LEAKS]
    slots = [row for row in leaks if "slot" in row]
    if worst := max(slots, key=lambda row: row["exogenous_share"].mean, default=None):
        share = worst["exogenous_share"].mean
        yield f"Of single slots, slot {worst['slot']} is the most exogenous: {share:.0%}."
    for region in found.get("regions", {}).get(model["name"], [])[-1:]:
        parts = [f"{name} {region[name].mean:.0%}" for name in region if name != "k"]
        yield (
            f"Of what changes in the pixels, {_slots(region['k'])} predict, by region (rest: what no "
            f"mask shows): {', '.join(parts)}."
        )


def _of_prefix(row: Mapping, baselines: list[Mapping], constant: Number | None) -> Iterator[str]:
    others = {one["features"]: one for one in baselines}
    name = _slots(row["k"])
    key = "accuracy" if "accuracy" in row else "action"
    if key in row:
        measure = "accuracy" if key == "accuracy" else "R^2"
        beside = [
            f"{other} {others[other][key].mean:.2f}" for other in others if other != "true action"
        ]
        if constant and key == "accuracy":
            beside.insert(0, f"a constant guess {constant.mean:.2f}")
        chance = others.get("shuffled codes", {}).get(key)
        nothing = ": no better than chance" if chance and row[key].low <= chance.high else ""
        yield (
            f"From {name} the action is read with {measure} {row[key].mean:.2f} "
            f"({', '.join(beside)}){nothing}."
        )
        for other in others:
            if other.startswith("features ") and others[other][key].low > row[key].high:
                yield f"{other[9:]}'s features of the two frames tell more of the action than {name}."
    if "exogenous" in row:
        yield _of_exogenous(name, row, others.get("true action", {}).get("exogenous"))
    yield from _of_level(name, row, others)


def _constant_guess(report: Mapping) -> Number | None:
    """The score of the majority class."""
    rows = report.get("baselines", {}).get("probes", [])
    return next((row["score"] for row in rows if row["name"] == "majority"), None)


def _of_exogenous(name: str, row: Mapping, true_action: Number | None) -> str:
    """How much of the exogenous change is read, and whether that is much."""
    exogenous, share = row["exogenous"], row.get("exogenous_share")
    own = f", of the agent's {row['endogenous'].mean:.2f}" if "endogenous" in row else ""
    text = (
        f"Of the change that the agent does not control, {name} tell{'s' * (row['k'] == 1)} R^2 "
        f"{_with_interval(exogenous)}{own}"
    )
    if share is None:
        return f"{text}: the code carries hardly anything of either."
    text += f"; {share.mean:.0%} of what is read is exogenous"
    if exogenous.high <= LEAKS:
        return f"{text}: no leakage to speak of (at most {LEAKS})."
    if exogenous.low <= LEAKS:
        return f"{text}: whether it leaks is open, the interval holds {LEAKS}."
    if true_action and true_action.low > LEAKS:
        text += (
            f" (the true action alone tells R^2 {true_action.mean:.2f} of it, for the two go together "
            "in these data)"
        )
    if share.low > MOSTLY:
        return f"{text}: plainly, this code is a disturbance more than the agent's action."
    return f"{text}: it leaks."


def _of_level(name: str, row: Mapping, others: Mapping[str, Mapping]) -> Iterator[str]:
    """A sentence where the code tells of the exogenous state what neither o_t nor the action does.

    What acts within the step and is not seen itself need not show in the change: the code holds its
    level. Where the probe of o_t is worse than the mean it says nothing of o_t, and nothing is told.
    """
    level, seen = row.get("exogenous_level"), others.get("observation", {}).get("exogenous_level")
    acted = others.get("true action", {}).get("exogenous_level")
    if not (level and seen) or seen.mean < -LEAKS:
        return
    if level.low > max(LEAKS, seen.high, acted.high if acted else 0.0):
        yield (
            f"Of the state that the agent does not control, at t + 1, {name} "
            f"tell{'s' * (row['k'] == 1)} R^2 {_with_interval(level)}, the observation o_t alone "
            f"{_with_interval(seen)}: its level leaks, whatever is said of its change, as where a "
            "disturbance that nobody measures acts within the step."
        )


def _with_interval(number: Number) -> str:
    """Two decimals, and no -0.00."""
    mean, low, high = (
        f"{round(value, 2) + 0.0:.2f}" for value in (number.mean, number.low, number.high)
    )
    return f"{mean} [{low}, {high}]"


def _slots(k: int) -> str:
    return "one slot" if k == 1 else f"{k} slots"


def _missing(report: Mapping, no_leakage: str) -> Iterator[dict[str, str]]:
    """What was not measured, and why."""
    found = report.get("leakage", {})
    probed = [row for rows in found.get("models", {}).values() for row in rows]
    if not any("exogenous" in row for row in probed):
        yield {"rows": "leakage probes", "why": no_leakage}
    if "regions" not in found:
        why = "the data have no exogenous_mask beside their frames"
        yield {"rows": "errors by region", "why": why}
    rows = [row for rows in report["label_free"].values() for row in rows]
    if rows and not any("additivity" in row for row in rows):
        why = "no two transitions that follow one another were read together"
        yield {"rows": "additivity", "why": why}
