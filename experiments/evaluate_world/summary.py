"""What a report says first, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.evaluate_world.codes import Codes
from flexlam_jax.reports.results import Number
from flexlam_jax.reports.tables import format_number


def sentences(
    name: str,
    worlds: Mapping[str, Any],
    codes: Sequence[Codes],
    names: Sequence[str],
    actions: int,
) -> list[str]:
    """Of the world `name`, beside the others.

    Args:
      names: of all actions.      actions: how many of them occur in the clips.
    """
    rows = worlds[name]["budgets"]
    lines = [_delta(row) for row in rows if row["delta_psnr"]][:1]
    lines += [_obedience(row, actions) for row in rows if "obedience" in row][:1]
    lines += [_typed(one, actions) for one in codes if "relative" in one.typed][:1]
    lines.append(_horizon(rows[-1]))
    lines += [_validated(one, names) for one in codes][:1] if names else []
    speed = worlds[name]["latency"]
    lines.append(
        f"A frame takes {format_number(speed['p50'], 1)} ms (95th percentile "
        f"{format_number(speed['p95'], 1)} ms)."
    )
    return lines


def _delta(row: Mapping[str, Any]) -> str:
    t = 4 if 4 in row["delta_psnr"] else max(row["delta_psnr"])
    number = row["delta_psnr"][t]
    return (
        f"{_with(row)}the codes of the clip are worth {format_number(number, 2)} dB of PSNR after "
        f"{t} step{'s' if t > 1 else ''}, against random ones"
        + ("." if number.low > 0 else "; the interval holds zero.")
    )


def _obedience(row: Mapping[str, Any], actions: int) -> str:
    found = row["obedience"]
    if "relative" not in found:
        return (
            "Whether the world obeys cannot be told: of real steps the probe reads "
            f"{format_number(found['real_real'], 3)} right, whose interval holds zero."
        )
    return (
        f"{_with(row)}the commanded action is read from {format_number(found['real_generated'], 3)} "
        f"of the generated steps, {format_number(found['relative'], 2)} of what the same probe reads "
        f"right of real ones ({format_number(found['real_real'], 3)}); chance is {1 / actions:.2f}."
    )


def _typed(one: Codes, actions: int) -> str:
    found = one.typed
    told = f"{found['actions']} of {found['of']}"
    return (
        f"{_with({'k': one.keep})}keys of actions, of which {told} have a code, do theirs in "
        f"{format_number(found['obedience'], 3)} of the steps, {format_number(found['relative'], 2)} of "
        f"what the probe reads right of real ones; chance is {1 / actions:.2f}."
    )


def _horizon(row: Mapping[str, Any]) -> str:
    key, unit = ("gain_ssim", "SSIM") if "gain_ssim" in row["horizon"][0] else ("gain_psnr", "PSNR")
    above = 0
    for step in row["horizon"]:
        number: Number = step[key]
        if number.mean <= 0:
            break
        above = step["t"]
    longest = row["horizon"][-1]["t"]
    told = f"all {longest} steps" if above == longest else f"{above} of {longest} steps"
    return f"{_with(row)}rollouts stay above copying the last frame in {unit} for {told}."


def _validated(one: Codes, names: Sequence[str]) -> str:
    shown = [card for card in one.cards if card.validated]
    said = {card.action for card in shown}
    told = ", ".join(name for name in names if name in said) or "none"
    return (
        f"With {one.keep} slot{'s' if one.keep > 1 else ''}, {len(shown)} of {len(one.cards)} codes are "
        f"validated; actions with such a code: {told}."
    )


def _with(row: Mapping[str, Any]) -> str:
    k = row["k"]
    return "" if k is None else f"With {k} slot{'s' if k > 1 else ''}, "
