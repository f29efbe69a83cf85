"""The page beside the videos: success by task and what was played, without network access."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.evaluate_policy.summary import table
from experiments.rollout.videos import FOLDER
from flexlam_jax.reports.page import Facts, Section, Text, Video, Videos, page


def gallery(report: Mapping[str, Any], folder: Path, videos: int) -> str:
    """The page as HTML; it shows the videos that lie in `folder`, `videos` of each task."""
    parts: list[Section] = [Text(_about(report), "about"), table(report)]
    for task, one in report["tasks"].items():
        shown = [
            Video(f"{FOLDER}/{task}_{episode['seed']}.mp4", _caption(episode))
            for episode in one["episodes"][:videos]
            if (folder / FOLDER / f"{task}_{episode['seed']}.mp4").exists()
        ]
        if shown:
            title = f"{task}: {one['language']}" if one["language"] else task
            parts.append(Videos(title, shown))
    made = {key: report[key] for key in ("command", "hardware", "versions", "date")}
    return page("Evaluation of a policy", [*parts, Facts("How this was made", made)])


def _about(report: Mapping[str, Any]) -> str:
    told = {"suite": report["suite"], "protocol": report["protocol"]["name"]}
    told |= {"perturbation": report["protocol"].get("perturbation", "none")}
    return "; ".join(f"{key} {value}" for key, value in told.items())


def _caption(episode: Mapping[str, Any]) -> str:
    end = "lost" if episode["lost"] else "solved" if episode["success"] else "not solved"
    return f"seed {episode['seed']}: {end}, {episode['length']} steps"
