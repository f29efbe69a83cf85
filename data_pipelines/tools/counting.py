"""What a dataset folder holds, in words: the lines that `prepare` and `inspect` print."""

from __future__ import annotations

from typing import Any

# Suffixes that hold no pictures or labels for any reader; others may be data that was passed over.
_TEXTS = frozenset(
    ".txt .md .json .jsonl .csv .tsv .yaml .yml .toml .xml .html .log .py .ipynb .sh .pdf .srt "
    ".vtt .ass .rst .bib .lock .metadata .gitattributes .gitignore .md5 .sha256 .ini .cfg (none)".split()
)
_SHOWN = 5  # suffixes
_MOST_EMPTY = 0.5  # share of recordings without a text above which that is worth a warning


def episodes_text(manifest: dict[str, Any]) -> str:
    """'12 episodes', or '50 recordings x 2 cameras' where datasets show the same recordings."""
    specs = {name: entry["spec"] for name, entry in manifest["datasets"].items()}
    families: dict[str, list[str]] = {}
    for name, spec in specs.items():
        families.setdefault(spec.get("recording") or name, []).append(name)
    if len(families) == len(specs):
        return f"{manifest['episodes']} episodes"
    parts = []
    for names in families.values():
        counts = {_episodes(manifest["datasets"][name]) for name in names}
        most = max(counts)
        if len(families) == 1:
            most = manifest.get("recordings", most)
        if len(names) == 1:
            parts.append(f"{most} episodes")
            continue
        views = "views" if any(specs[name].get("exogenous") for name in names) else "cameras"
        if counts == {most}:
            parts.append(f"{most} recordings x {len(names)} {views}")
        else:
            total = sum(_episodes(manifest["datasets"][name]) for name in names)
            parts.append(f"{most} recordings in up to {len(names)} {views} ({total} episodes)")
    return " + ".join(parts)


def _episodes(entry: dict[str, Any]) -> int:
    return sum(split["episodes"] for split in entry["splits"].values())


def notes(manifest: dict[str, Any]) -> list[str]:
    """What a user should know beside the counts: one line each, [] if all is as expected."""
    lines = []
    if skipped := manifest.get("skipped"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        lines.append(f"skipped: {reasons} (listed in the manifest)")
    if missing := manifest.get("missing"):
        about, share = "about " if missing.get("estimated") else "", 100 * missing["share"]
        count = f"{about}{missing['episodes']}"
        lines.append(f"missing: {count} episodes ({share:.3g} % of the source)")
    lines += [
        f"left out: dataset {name}, of which no episode shows anything"
        for name in manifest.get("empty_datasets", ())
    ]
    lines += [
        f"solved: {rate['solved']} of {rate['solved'] + rate['failed']} episodes of {name}"
        + (f", {rate['lost']} lost" if rate["lost"] else "")
        for name, rate in manifest.get("success_rates", {}).items()
        if rate["failed"] or rate["lost"]
    ]
    lines += [f"note: {line}" for line in manifest.get("sources", {}).get("notes", ())]
    if leaks := manifest.get("leakage_check", {}).get("leaks"):
        lines.append(
            f"warning: {len(leaks)} pairs of episodes in two splits share frames, the first: {leaks[0]}"
        )
    language = manifest.get("language")
    if language and language["empty"] > _MOST_EMPTY * language["recordings"]:
        lines.append(
            f"warning: {language['empty']} of {language['recordings']} recordings have an empty "
            "text (language)"
        )
    return lines + _passed_over(manifest.get("passed_over", {}))


def _passed_over(found: dict[str, dict[str, Any]]) -> list[str]:
    parts = [
        f"{entry['files']} {suffix} file{'s' if entry['files'] > 1 else ''} ({entry['example']}"
        f"{', ...' if entry['files'] > 1 else ''})"
        for suffix, entry in found.items()
        if suffix not in _TEXTS
    ]
    if not parts:
        return []
    more = f" and {len(parts) - _SHOWN} more suffixes" if len(parts) > _SHOWN else ""
    return [f"passed over: {', '.join(parts[:_SHOWN])}{more}"]
