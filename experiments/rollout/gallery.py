"""The page beside the videos: returns by task and what was played, without network access."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.rollout.summary import table
from experiments.rollout.videos import FOLDER
from flexlam_jax.reports.page import Facts, Section, Text, Video, Videos, page


def gallery(report: Mapping[str, Any], folder: Path, videos: int) -> str:
    """The page as HTML; it shows the videos that lie in `folder`, `videos` of each task."""
    parts: list[Section] = [
        Text(
            "Each picture stands beside the one that the policy had in mind a step before, decoded "
            "from the tokens that it chose, and their absolute difference. Policies that act "
            "without a picture in mind show the observation alone.",
            "about",
        ),
        table(report),
    ]
    for task, one in report["tasks"].items():
        shown = [
            Video(f"{FOLDER}/{task}_{episode['seed']}.mp4", _caption(episode))
            for episode in one["episodes"]
            if (folder / FOLDER / f"{task}_{episode['seed']}.mp4").exists()
        ]
        if shown:
            parts.append(Videos(task, shown[:videos]))
    made = {key: report[key] for key in ("command", "hardware", "versions", "date")}
    return page("Rollouts", [*parts, Facts("How this was made", made)])


def _caption(episode: Mapping[str, Any]) -> str:
    return f"seed {episode['seed']}: return {episode['return']:g}, {episode['length']} steps"
