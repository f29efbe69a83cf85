"""What a report shows, in sentences computed from its numbers."""

from collections.abc import Mapping

from flexlam_jax.evaluation.lam.report_tables import (
    metric_name,
    scarce,
    score_lookup,
)


def explanation(report: Mapping) -> str:
    """Three sentences for a reader who has never met such a model."""
    keep = report["models"][0]["keep"]
    if keep["kind"] == "fixed":
        trained = "This one always used the same number of slots. "
    else:
        trained = (
            "This one was trained so that any prefix of the code is itself a code: k slots are "
            "kept, the rest is replaced by one null latent. "
        )
    return (
        "A latent action model watches pairs of frames without action labels and writes what "
        "changed into a short code of ordered slots. "
        f"{trained}"
        "This page shows, on episodes the model never saw, how much of the next frame and of the "
        "true action the slots carry."
    )


def sentences(report: Mapping) -> list[str]:
    """The findings on the main (first) model, each with its numbers."""
    model, baselines = report["models"][0], report["baselines"]
    first, last = model["reconstruction"][0], model["reconstruction"][-1]
    copy = baselines["copy"]["psnr"].mean
    lines = [_reconstruction(first, last, copy), _use_of_code(last)]
    if report["metric"]:
        lines += [_action(report, model, first, last), _baselines(report)]
    lines += [line for other in report["models"][1:] for line in _comparison(report, model, other)]
    return [line for line in lines if line]


def _reconstruction(first, last, copy) -> str:
    gain = last["gain"].mean
    relation = "above" if gain >= 0 else "BELOW"
    low, high = first["psnr"].mean, last["psnr"].mean
    if first["k"] == last["k"]:
        return (
            f"Reconstruction at k = {last['k']} is {high:.2f} dB, {abs(gain):.2f} dB {relation} "
            f"copying o_t ({copy:.2f} dB)."
        )
    verb = "rises" if high - low > 0.05 else "falls" if high - low < -0.05 else "stays"
    path = f"from {low:.2f} dB at k = {first['k']} to {high:.2f} dB at k = {last['k']}"
    if verb == "stays":
        path = f"near {high:.2f} dB from k = {first['k']} to k = {last['k']}"
    return (
        f"Reconstruction {verb} {path}, {abs(gain):.2f} dB {relation} copying o_t ({copy:.2f} dB)."
    )


def _use_of_code(last) -> str:
    delta = last["delta_psnr"]
    if delta.low > 0:
        return (
            f"The decoder uses the code: with another transition's code it loses "
            f"{delta.mean:.2f} dB at k = {last['k']}."
        )
    return (
        f"The decoder hardly uses the code: another transition's code costs it only "
        f"{delta.mean + 0.0:.2f} dB at k = {last['k']}."
    )


def _action(report, model, first, last) -> str:
    labels, name = scarce(report)
    scores = score_lookup(model["probes"], "translator")
    low, high = scores[first["k"], labels].mean, scores[last["k"], labels].mean
    text = (
        f"With {name} labels a translator reads the true action at {metric_name(report)} {low:.3f}"
    )
    majority = next(
        row["score"]
        for row in report["baselines"]["probes"]
        if row["name"] == "majority" and row["labels"] == labels
    )
    end = (
        "" if scores[last["k"], labels].low > majority.mean else ", no better than a constant guess"
    )
    if first["k"] == last["k"]:
        return f"{text} from {last['k']} slot{'s' * (last['k'] != 1)}{end}."
    one = "one slot" if first["k"] == 1 else f"{first['k']} slots"
    return f"{text} from {one} and {high:.3f} from {last['k']}{end}."


def _baselines(report) -> str:
    labels, name = scarce(report)
    scores = {
        row["name"]: row["score"].mean
        for row in report["baselines"]["probes"]
        if row["labels"] == labels
    }
    return (
        f"The same number of labels gives {scores['observation']:.3f} from o_t alone, "
        f"{scores['pixel_pair']:.3f} from the pixels of both frames and "
        f"{scores['shuffled']:.3f} from shuffled latents; a constant guess gives "
        f"{scores['majority']:.3f}."
    )


def _comparison(report, model, other) -> list[str]:
    """Main model minus another, at every prefix length both were evaluated at."""
    mine = {row["k"]: row for row in model["reconstruction"]}
    shared = [row for row in other["reconstruction"] if row["k"] in mine]
    lines = []
    for row in shared:
        k = row["k"]
        difference = round(mine[k]["psnr"].mean - row["psnr"].mean, 2) + 0.0
        line = f"Beside {other['name']} at k = {k}, {model['name']} has {difference:+.2f} dB"
        if report["metric"]:
            labels, name = scarce(report)
            ours = score_lookup(model["probes"], "translator")[k, labels].mean
            theirs = score_lookup(other["probes"], "translator")[k, labels].mean
            line += f" and {ours - theirs:+.3f} {metric_name(report)} with {name} labels"
        lines.append(line + ".")
    return lines
