"""Writes the skills that a high level predicts, for a low level that is to act by predictions.

    python -m experiments.predict_skills --policy=runs/high --out=predicted \\
        [--data=DIR] [--datasets=…] [--splits=train,validation]

OUT/<dataset>/<split>/ is a sidecar like that of experiments.extract_skills, whose rows the high level
was trained to predict, with its predictions in their place: skill float32 (N, W), one row per
transition. A low level that is trained with data.sidecars.skill=OUT learns by the skills that it will
be told, right and wrong ones, instead of those that only the video knows.

For every split it prints the squared error of the predictions in units of the variance of the
skills: above 1 the mean skill would have been the better guess, and far below on the train split
alone the high level knows its episodes by heart.

Killed, the same command goes on with the splits that are missing or damaged.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.sidecar_manifest import Facts
from data_pipelines.format.sidecar_writing import SidecarWriter
from data_pipelines.format.sidecars import Sidecar, open_sidecar
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.loading.sidecar_columns import chosen_array
from data_pipelines.loading.views import frames_key
from experiments import cli, lam_inputs
from experiments.progress_bar import progress
from experiments.written_before import rows_written
from flexlam_jax import output_folder
from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.loading.chunk_policy import LoadedChunkPolicy
from flexlam_jax.loading.load import load_as

_POLICY = flags.DEFINE_string("policy", None, "Work directory of the high level.", required=True)
_STEP = flags.DEFINE_integer(
    "step", None, "Training step to load; default the newest.", lower_bound=0
)
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default that of its training.")
_DATASETS = flags.DEFINE_list("datasets", [], "Datasets of the folder; default all it was shown.")
_SPLITS = flags.DEFINE_list("splits", ["train", "validation"], "Splits to write.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_ROWS = 256


class Skills(NamedTuple):
    """The skills that were found in the video of a split: an array of a sidecar."""

    sidecar: Sidecar
    array: str


class Errors(NamedTuple):
    """Sums over rows of skills (N, W), for their prediction error and their variance."""

    count: int
    squared_error: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    def relative(self) -> float:
        """The squared error, in units of the variance; both summed over W."""
        mean = self.total / self.count
        variance = float((self.squares / self.count - mean**2).sum())
        return float(self.squared_error.sum()) / self.count / variance if variance > 0 else np.nan


def main(argv):
    del argv
    out = Path(output_folder.check(_OUT.value, output_folder.SKILLS))
    splits = lam_inputs.listed(_SPLITS)
    high = load_as("policy", lam_inputs.text(_POLICY), _STEP.value)
    column, given = skills_of(high)
    path = lam_inputs.text(_DATA) or high.config["data"]["path"]
    if not path:
        raise UserError("the policy was trained on a mixture; give --data=DIR")
    info = open_dataset(path)
    names = lam_inputs.listed(_DATASETS) or _shown(high, info)
    opened = {
        (name, split): open_sidecar(given["path"], info, name, split)
        for name in names
        for split in splits
    }
    frames = [one.place for one in opened.values() if one.facts.alignment != "transition"]
    if frames:
        raise UserError(
            f"{frames[0]} has no row per transition; write it by experiments.extract_skills"
        )
    with output_folder.Claim(out, output_folder.SKILLS):
        _write_manifest(out, high, next(iter(opened.values())).facts)
        for (name, split), true in opened.items():
            array = chosen_array(true, column, given.get("array"))
            write(out, high, info, name, split, Skills(true, array))


def skills_of(high: LoadedChunkPolicy) -> tuple[str, dict[str, str]]:
    """(column, where its sidecars lie) that a high level learned; UserError for other policies."""
    if len(high.columns) != 1 or high.skill_width:
        does = ", ".join(high.columns) or "actions"
        raise UserError(
            f"--policy predicts {does}{' by a skill' if high.skill_width else ''}; give a high "
            "level, which was trained with config.predicts.columns=('skill',)"
        )
    if high.history > 1:
        raise UserError(
            f"--policy reads {high.history} steps; skills are predicted from single steps, so train "
            "it with config.model.history=1"
        )
    (column,) = high.columns
    given = high.config["data"]["sidecars"].get(column)
    if not given:
        raise UserError("--policy was trained on a mixture; give one of a single data.path")
    return column, {"path": given} if isinstance(given, str) else dict(given)


def write(
    out: Path, high: LoadedChunkPolicy, info: DatasetInfo, name: str, split: str, true: Skills
) -> None:
    """Writes one split and prints how far the predictions are from the skills of the video."""
    facts = true.sidecar.facts
    writer = SidecarWriter(
        out,
        info,
        name,
        split,
        kind=facts.kind,
        alignment=facts.alignment,
        arrays={true.array: (np.float32, (high.width,))},
        gap=facts.gap,
        made_by=_made_by(high, facts),
        block_rows=max(1, facts.rows),  # One block: errors are of all rows of a split.
    )
    if rows_written(writer) is not None:
        return
    predicted, errors = predict(high, info, name, split, true)
    writer.write(writer.blocks[0], {true.array: predicted})
    writer.finish()
    print(
        f"{writer.place}: {facts.rows} transitions, error {errors.relative():.2f} of the variance"
    )


def predict(
    high: LoadedChunkPolicy, info: DatasetInfo, name: str, split: str, true: Skills
) -> tuple[np.ndarray, Errors]:
    """(float32 (N, W) predicted at each transition of a split, how far they are from the true)."""
    facts = true.sidecar.facts
    rows, tick = [], progress(f"{name}/{split}", facts.rows)
    errors = Errors(0, np.zeros(high.width), np.zeros(high.width), np.zeros(high.width))
    held = true.sidecar.array(true.array)
    for observation in _observations(high, info, name, split, facts.gap or 1):
        skill = high.decide(*observation)[:, 0]
        asked = np.asarray(held[errors.count : errors.count + len(skill)], np.float64)
        errors = Errors(
            errors.count + len(skill),
            errors.squared_error + np.square(skill - asked).sum(0),
            errors.total + asked.sum(0),
            errors.squares + np.square(asked).sum(0),
        )
        rows.append(skill)
        tick(len(skill))
    return np.concatenate(rows), errors


def _observations(
    high: LoadedChunkPolicy, info: DatasetInfo, name: str, split: str, gap: int
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray | None, list[str] | None]]:
    """(frames, states, sentences) at the first frame of every transition, in order."""
    batches = ordered_batches(
        info.path,
        (name,),
        split,
        _ROWS,
        fields=("state",) if high.proprio_width else (),
        gap=gap,
        views=high.cameras[1:],
        language=high.reads_text,
    )
    fields = ["frames", *(frames_key(camera) for camera in high.cameras[1:])]
    for batch in batches:
        frames = {
            camera: batch[field][:, 0] for camera, field in zip(high.cameras, fields, strict=True)
        }
        text = None
        if high.reads_text:
            text = [
                batches.languages[language] or batches.tasks[task]
                for language, task in zip(batch["language"], batch["task"], strict=True)
            ]
        yield frames, batch["state"][:, 0] if high.proprio_width else None, text


def _shown(high: LoadedChunkPolicy, info: DatasetInfo) -> list[str]:
    """The datasets of its first camera, of those that it was trained on."""
    trained = high.config["data"].get("datasets") or info.datasets
    names = [name for name in trained if name in info.datasets]
    camera = high.cameras[0]
    return [name for name in names if camera in ("frames", info.spec(name).camera)]


def _made_by(high: LoadedChunkPolicy, facts: Facts) -> dict[str, Any]:
    """What the skills say of themselves, which levels are met by, and who predicted them."""
    return {**facts.made_by, "predicted_by": parameters_hash(high.variables)}


def _write_manifest(out: Path, high: LoadedChunkPolicy, facts: Facts) -> None:
    mine = {"format": 1, "kind": "skills", "gap": facts.gap, "width": high.width}
    text = json.dumps(mine | _made_by(high, facts), indent=1) + "\n"
    write_atomically(out / "manifest.json", text)


if __name__ == "__main__":
    cli.run(main)
