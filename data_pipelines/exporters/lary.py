"""Codes and actions as files that LARYBench's regression probe reads.

The probe of the Latent Action Representation Yielding Benchmark (arXiv 2604.11689, LARYBench at
2092d20) takes a table per split with the columns la_path (an .npz with the array `tokens`) and
action (an .npy), and predicts the action, standardised by a JSON file, from the flattened tokens.
It knows actions of seven numbers. One folder is one prefix length:

    train_la_<dataset>.csv, val_la_<dataset>.csv, val_<split>_la_<dataset>.csv
    stats.json                                  mean and std (7,) of the actions of `train`
    <split>/<episode>/<t>.npz                   tokens float32 (keep, D): the first `keep` slots
    <split>/<episode>/<t>.npy                   the action, float32 (7,)

With a gap of several frames an action is the sum of those between the two: the motion from one to
the other where actions are displacements. Paths in the tables are absolute, as the probe wants.
"""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import CODES
from data_pipelines.exporters.episodes import EpisodeEntry, LatentSet
from data_pipelines.exporters.lerobot.statistics import Total, row_statistics
from data_pipelines.exporters.parts import ExportFolder
from data_pipelines.format.spec import DatasetSpec

WIDTH = 7  # numbers of an action: position, orientation, gripper
# The probe tells train from val by the name of the table.
_TABLES = {"train": "train", "validation": "val"}


def write_lary(
    path: str | pathlib.Path, source: LatentSet, *, texts: dict[str, str] | None = None
) -> None:
    """Writes the folder, unless it is there; killed, the same call goes on with the next episode.

    Args:
      source: `keep` of its facts says how many slots are tokens.
      texts: further files, name -> content (cards).

    Raises:
      DataError: actions that the probe cannot read; no slots; no `train` among the splits.
    """
    if source.facts.keep is None:
        raise DataError("the probe reads one number of slots; give a `keep`, not a tolerance")
    check_probe(source.spec, source.splits, source.facts.keep)
    place = pathlib.Path(path).expanduser().absolute()
    identity = {"format": "lary", "place": str(place)} | source.identity()
    with ExportFolder(place, identity) as folder:
        if folder.finished():
            return
        total = Total()
        for split in source.splits:
            for entry in source.of_split(split):
                said = folder.write_folder(
                    f"{split}/{entry.number:06d}",
                    lambda path, entry=entry: _write_episode(path, source, entry),
                )
                if split == "train" and said["statistics"]:
                    total.add(said["statistics"])
            table = table_name(source, split)
            folder.write(table, lambda path, split=split: _write_table(path, place, source, split))
        told = total.told()
        stats = {"mean": told["mean"], "std": told["std"], "count": told["count"]}
        folder.write_text("stats.json", json.dumps(stats, indent=1) + "\n")
        for name, text in (texts or {}).items():
            folder.write_text(name, text)
        folder.finish(transitions=source.transitions)


def table_name(source: LatentSet, split: str) -> str:
    """The file of a split's table."""
    return f"{_TABLES.get(split, f'val_{split}')}_la_{source.spec.name}.csv"


def probe_command(source: LatentSet, path: pathlib.Path) -> str:
    """The command that scores the folder, in a checkout of the benchmark."""
    held_out = [split for split in source.splits if split != "train"]
    tables = {"train_csv": "train", "val_csv": held_out[0]}
    if len(held_out) > 1:
        tables["val_unseen_csv"] = held_out[1]
    named = [f"--{flag}={path / table_name(source, split)}" for flag, split in tables.items()]
    return " \\\n    ".join(
        [
            "WANDB_MODE=disabled python -m regression.main --dataset=calvin --stride=1",
            f"--action_mode=relative --global_stats_json={path / 'stats.json'}",
            *named,
            "--num_workers=0 --save_dir=lary_score",
        ]
    )


def check_probe(spec: DatasetSpec, splits: Sequence[str], keep: int) -> None:
    """Raises DataError for actions, splits or a number of slots that the probe cannot use."""
    action = spec.action
    if action is None or action.kind != "continuous" or action.count != WIDTH:
        told = "no actions"
        if action is not None:
            what = "discrete actions" if action.kind == "discrete" else "numbers in an action"
            told = f"{action.count} {what}"
        raise DataError(
            f"dataset {spec.name} has {told}; LARY's probe reads actions of {WIDTH} numbers "
            "(position, orientation, gripper). experiments.evaluate_lam probes any actions"
        )
    if not keep:
        raise DataError("keep is 0, which leaves no token to score; give --keep=1 or more")
    if "train" not in splits or len(splits) < 2:
        raise DataError(
            f"splits are {', '.join(splits)}; the probe is fitted on train and scored on another, "
            "name both with --splits"
        )


def _write_episode(path: pathlib.Path, source: LatentSet, entry: EpisodeEntry) -> dict[str, Any]:
    """<t>.npz and <t>.npy of every transition; returns the statistics of its actions."""
    episode = source.read(entry, pictures=False)
    facts = source.facts
    assert episode.action is not None  # `check_probe` saw to that
    sums = np.concatenate([np.zeros((1, WIDTH)), np.cumsum(episode.action, 0, np.float64)])
    actions = (sums[facts.gap :] - sums[: -facts.gap]).astype(np.float32)
    for t, action in enumerate(actions):
        np.savez(path / f"{t}.npz", tokens=episode.latents[CODES][t, : facts.keep])
        np.save(path / f"{t}.npy", action)
    return {"statistics": row_statistics(actions)}


def _write_table(
    path: pathlib.Path, place: pathlib.Path, source: LatentSet, split: str
) -> dict[str, Any]:
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["la_path", "action", "episode", "t"])
        for entry in source.of_split(split):
            folder = place / split / f"{entry.number:06d}"
            for t in range(max(0, entry.length - source.facts.gap)):
                table.writerow([folder / f"{t}.npz", folder / f"{t}.npy", entry.number, t])
                count += 1
    if not count:
        raise DataError(f"dataset {source.spec.name}, split {split!r}: no transition to score")
    return {"rows": count}
