"""The manifest of a finished build. No times and no host names: equal options give equal bytes."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from typing import Any

from data_pipelines.conversion.assembly import Assembly
from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.success_rates import success_rates
from data_pipelines.format.manifest import FORMAT_VERSION
from data_pipelines.readers.recordings import Plan


def assembly_facts(result: Assembly, plan: Plan) -> dict[str, Any]:
    """What the manifest tells of an assembly, as JSON, and the jobs whose shards it lists."""
    kept = collections.Counter()
    for job in result.jobs:
        kept[job.spec["name"]] += len(job.episodes)
    written = set(kept)
    facts = {
        "jobs": [dataclasses.asdict(job) for job in result.jobs],
        "recordings": result.recordings,
        "skipped": [(item.name, item.reason, item.detail) for item in result.skipped],
        "leakage": result.leakage,
        "optional": {},
    }
    if result.loss.lost:
        facts["optional"]["missing"] = {
            "episodes": result.loss.lost,
            "share": round(result.loss.share, 4),
            "estimated": result.loss.estimated,
        }
    if result.language is not None:
        facts["optional"]["language"] = result.language
    left_out = [(item.name, item.reason) for item in result.skipped]
    if rates := success_rates(plan.specs, kept, left_out):
        facts["optional"]["success_rates"] = rates
    if empty := [spec.name for spec in plan.specs if spec.name not in written]:
        facts["optional"]["empty_datasets"] = empty
    if len(written) > 1 and plan.items:  # simulators give every view a recording of its own
        facts["optional"]["recordings"] = result.recordings
    return facts


def manifest(
    recipe: str,
    options: dict[str, Any],
    plan: Plan,
    facts: dict[str, Any],
    entries: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The whole manifest; `facts` of assembly_facts, `entries` of shards.finish_dataset by name."""
    totals = {
        split: {
            key: sum(entry["splits"].get(split, {}).get(key, 0) for entry in entries.values())
            for key in ("episodes", "transitions", "records")
        }
        for split in SPLITS
    }
    hashes = [
        shard["sha256"]
        for entry in entries.values()
        for shards in entry["shards"].values()
        for shard in shards
    ]
    transitions = {
        name: sum(s["transitions"] for s in entry["splits"].values())
        for name, entry in entries.items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "recipe": recipe,
        "options": options,
        "episodes": sum(split["episodes"] for split in totals.values()),
        "transitions": sum(transitions.values()),
        "splits": totals,
        "mixture": transitions,
        "skipped": dict(collections.Counter(reason for _, reason, _ in facts["skipped"])),
        "skipped_items": [list(item) for item in facts["skipped"]],
        **facts["optional"],
        **({"passed_over": plan.passed_over} if plan.passed_over else {}),
        "sources": plan.sources,
        "leakage_check": facts["leakage"],
        "content_hash": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "datasets": entries,
    }
