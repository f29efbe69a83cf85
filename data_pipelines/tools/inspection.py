"""`prepare inspect`: what a folder holds, as a page for people or as JSON, and as a picture."""

from __future__ import annotations

import collections
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines.conversion.output import writing
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.format.vectors import (
    STATISTICS,
    is_vector,
    observed_columns,
    state_statistics,
)
from data_pipelines.loading.ranges import check_ranges
from data_pipelines.loading.windows import ClipReader
from data_pipelines.tools.contact_sheet import contact_sheet
from data_pipelines.tools.counting import episodes_text, notes
from data_pipelines.whole_files import whole_file

_SHEET = "contact_sheet.png"
_EXAMPLES = 3  # of each reason to skip, and of leaks
_MOST = 12  # datasets, reasons and dimensions that are listed
_WIDTH = 100
_SAMPLE = 200  # records whose actions tell the range where no bounds are known


def inspect(
    path: str | pathlib.Path, sheet: str | None = None, seed: int = 0, *, as_json: bool = False
) -> None:
    """Prints the page and writes the contact sheet, to `sheet` or into the folder.

    as_json: prints the manifest as one JSON object instead, and draws only if `sheet` is given.

    Raises DataError for a folder that cannot be read, and, before anything is printed, for a seed
    or a sheet that cannot be.
    """
    check_ranges({"seed": seed})
    info = open_dataset(path)
    target = pathlib.Path(sheet) if sheet else info.path / _SHEET
    if sheet or not as_json:
        _check_sheet(target)
    print(json.dumps(info.manifest, indent=1) if as_json else page(info))
    if sheet or not as_json:
        _write_sheet(info, seed, target)
    if not as_json:
        print(f"contact sheet: {target}")


def _check_sheet(target: pathlib.Path) -> None:
    if target.suffix.lower() != ".png":
        raise DataError(f"--sheet is {str(target)!r}; give the name of a .png file")
    if target.is_dir():
        raise DataError(f"--sheet is {str(target)!r}, a folder; give the name of a .png file")
    if not os.access(target.parent, os.W_OK):
        raise DataError(
            f"cannot write {target}: its folder is not there or not writable; give another --sheet"
        )


def _write_sheet(info: DatasetInfo, seed: int, target: pathlib.Path) -> None:
    """Draws, and puts the picture in its place only when it is whole."""
    picture = contact_sheet(info, seed)
    with writing(target):
        with whole_file(target) as unfinished, open(unfinished, "wb") as file:
            picture.save(file, "PNG")


def page(info: DatasetInfo) -> str:
    """What the folder holds, on one screen for usual data."""
    manifest = info.manifest
    lines = [
        f"{info.path}: {episodes_text(manifest)}, {manifest['transitions']} transitions"
        f"{_duration(info)}",
        f"made by: {manifest['recipe']} {_listed(manifest['options'])}",
        *([f"source: {_listed(manifest['sources'])}"] if manifest.get("sources") else []),
        *_splits(info),
        *_datasets(info),
        *_columns(info),
        *_actions(info),
        *_language(info),
        *_skipped(manifest),
        *notes(manifest | {"skipped": {}, "leakage_check": {}}),  # told by themselves
        *_leaks(manifest),
    ]
    if "content_hash" in manifest:
        lines.append(f"content: sha256 {manifest['content_hash']}")
    return "\n".join(map(_printable, lines))


def _printable(line: str) -> str:
    """What names of files may hold and a terminal would obey or refuse, as escapes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in line
    )


def _short(text: str, most: int = _WIDTH) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _duration(info: DatasetInfo) -> str:
    """', 3.2 hours': every recording once, of those whose frame rate is known."""
    longest: dict[str, float] = {}
    unknown = False
    for name, spec in info.datasets.items():
        counts = info.counts[name].values()
        frames = sum(split["transitions"] + split["episodes"] for split in counts)
        key = spec.recording or name
        if spec.fps:
            longest[key] = max(longest.get(key, 0.0), frames / spec.fps)
        else:
            unknown = True
    if not longest:
        return ""
    seconds = sum(longest.values())
    size, unit = (3600, "hours") if seconds >= 3600 else (60, "minutes")
    text = f"{seconds / size:.1f} {unit}" if seconds >= 60 else f"{seconds:.0f} seconds"
    return f", {text}" + (" where the rate is known" if unknown else "")


def _listed(values: dict) -> str:
    """key=value of all that are neither off nor empty."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value not in ("", None, [], {}, False)
    }
    return " ".join(_short(f"{key}={text}") for key, text in texts.items())


def _splits(info: DatasetInfo) -> list[str]:
    texts = (
        f"{split} {counts['episodes']} ({counts['transitions']})"
        for split, counts in info.splits.items()
    )
    return [f"splits, episodes (transitions): {', '.join(texts)}"]


def _datasets(info: DatasetInfo) -> Iterator[str]:
    yield f"datasets: {len(info.datasets)}"
    for name, spec in list(info.datasets.items())[:_MOST]:
        counts = ", ".join(f"{s} {c['transitions']}" for s, c in info.counts[name].items())
        yield f"  {name}: {', '.join(_facts(spec))}; transitions {counts}"
    if len(info.datasets) > _MOST:
        yield f"  and {len(info.datasets) - _MOST} more (--json lists them)"


def _facts(spec: DatasetSpec) -> Iterator[str]:
    if is_vector(spec):
        yield f"no pictures, vectors of {len(observed_columns(spec))} numbers"
    else:
        yield f"{'x'.join(map(str, spec.image_shape))} {spec.codec}"
    yield f"{spec.fps:.4g} frames/s" if spec.fps else "frame rate unknown"
    if spec.camera:
        yield f"camera {spec.camera}"
    if spec.exogenous:
        yield f"exogenous {spec.exogenous}"
    yield f"labels {' '.join(spec.labels) or 'none (video only)'}"
    if spec.behaviour:
        yield _short(spec.behaviour)


def _columns(info: DatasetInfo) -> Iterator[str]:
    """Of every dataset of vectors its columns: what is observed, and what nobody controls."""
    for name, spec in info.datasets.items():
        if not is_vector(spec):
            continue
        of = f" ({name})" if len(info.datasets) > 1 else ""
        seen = observed_columns(spec)
        found = state_statistics(spec) if STATISTICS in spec.details else None
        for i, column in list(enumerate(spec.state_names))[:_MOST]:
            notes = ["" if i in seen else "not observed"]
            notes.append("exogenous" if column in spec.exogenous_state else "")
            if found:
                mean, std, low, high = (found[key][i] for key in ("mean", "std", "min", "max"))
                notes.append(f"{mean:.4g} ± {std:.2g}, {low:.4g} to {high:.4g} in train")
            yield f"column {column}{of}: {', '.join(filter(None, notes))}"
        if len(spec.state_names) > _MOST:
            yield f"and {len(spec.state_names) - _MOST} more columns{of} (--json lists them)"


def _actions(info: DatasetInfo) -> Iterator[str]:
    """One line per kind of actions, with the datasets that have it."""
    holders: dict[ActionSpec | None, list[str]] = {}
    for name, spec in info.datasets.items():
        holders.setdefault(spec.action, []).append(name)
    for action, names in list(holders.items())[:_MOST]:
        of = f" ({_short(', '.join(names), 60)})" if len(holders) > 1 else ""
        if action is None:
            yield f"no actions{of}"
        elif action.kind == "discrete":
            yield f"{action.count} discrete actions{of}: actions {_short(' '.join(action.names))}"
        else:
            yield f"continuous actions{of}, {action.count} numbers: {_ranges(info, names[0])}"


def _ranges(info: DatasetInfo, name: str) -> str:
    """The bounds of a continuous action, or what a sample of the records holds of each number."""
    action = info.spec(name).action
    if action.low is not None and action.high is not None:
        return f"{_short(' '.join(action.names))}, each {action.low:g} to {action.high:g}"
    split = max(info.counts[name], key=lambda split: info.counts[name][split]["records"])
    reader = ClipReader(info, name, split)
    sample = np.unique(np.linspace(0, len(reader) - 1, _SAMPLE).astype(int))
    held = np.concatenate([reader.clip(int(record)).decode_label("action") for record in sample])
    low, high = held.min(axis=0), held.max(axis=0)
    parts = [
        f"{dimension} {low[i]:.2g} to {high[i]:.2g}"
        for i, dimension in enumerate(action.names[:_MOST])
    ]
    more = f" and {action.count - _MOST} more" if action.count > _MOST else ""
    return f"{', '.join(parts)}{more} (in {len(sample)} of {len(reader)} records of {split})"


def _language(info: DatasetInfo) -> list[str]:
    """How many recordings have a text; folders of older versions tell it episode by episode."""
    found = info.manifest.get("language")
    if found is None:
        texts = [
            facts["language"]
            for name, splits in info.counts.items()
            for split, counts in splits.items()
            if counts["records"]
            for facts in info.episodes(name, split)
            if "language" in facts
        ]
        found = {"recordings": len(texts), "empty": sum(not text for text in texts)}
    if not found["recordings"]:
        return []
    return [
        f"language: {found['recordings'] - found['empty']} of {found['recordings']} episodes have "
        "a text"
    ]


def _skipped(manifest: dict) -> Iterator[str]:
    """Every reason with its number and the first examples."""
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    for name, reason, detail, *_ in manifest.get("skipped_items", ()):
        reasons[reason].append(detail if name in detail else f"{name}: {detail}")
    if reasons:
        yield f"skipped: {sum(map(len, reasons.values()))}"
    for reason, found in sorted(reasons.items(), key=lambda item: -len(item[1]))[:_MOST]:
        yield f"  {len(found)} {reason}"
        yield from (f"    {_short(example, 2 * _WIDTH)}" for example in found[:_EXAMPLES])
        if len(found) > _EXAMPLES:
            yield f"    and {len(found) - _EXAMPLES} more"
    if len(reasons) > _MOST:
        yield f"  and {len(reasons) - _MOST} more reasons (--json lists all)"


def _leaks(manifest: dict) -> Iterator[str]:
    found = manifest.get("leakage_check", {})
    if found.get("shared_starts"):
        yield (
            f"common starts: {found['shared_starts']} pairs of episodes in two splits begin alike"
        )
    leaks = found.get("leaks", ())
    if leaks:
        yield f"leaks: {len(leaks)} pairs of episodes in two splits share frames"
    yield from (f"  {leak}" for leak in leaks[:_EXAMPLES])
    if len(leaks) > _EXAMPLES:
        yield f"  and {len(leaks) - _EXAMPLES} more (--json lists them)"
