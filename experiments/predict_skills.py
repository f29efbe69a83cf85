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

from collections.abc import Iterator, Mapping
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
from experiments.skill_manifest import write_skill_manifest
from experiments.written_before import rows_written
from flexlam_jax import output_folder
from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.errors import UserError
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
    names = lam_inputs.listed(_DATASETS) or shown(high, info)
    found = [open_sidecar(given["path"], info, name, split) for name in names for split in splits]
    facts = found[0].facts
    if facts.gap is None:
        raise UserError(
            f"{found[0].place} has no row per transition; write it by experiments.extract_skills"
        )
    skills = [Skills(one, chosen_array(one, column, given.get("array"))) for one in found]
    # As the skills say of themselves, by which levels are matched, and who predicted them.
    made_by = {**facts.made_by, "predicted_by": parameters_hash(high.variables)}
    told = {"gap": facts.gap, "data": lam_inputs.Source(info, tuple(names), facts.gap).identity()}
    with output_folder.Claim(out, output_folder.SKILLS):
        write_skill_manifest(out, told | {"width": high.width} | made_by)
        for one in skills:
            write(out, high, info, one, made_by)


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


def shown(high: LoadedChunkPolicy, info: DatasetInfo) -> list[str]:
    """The datasets of its first camera, of those that it was trained on; UserError for none."""
    trained = high.config["data"].get("datasets") or info.datasets
    names = [name for name in trained if name in info.datasets]
    camera = high.cameras[0]
    names = [name for name in names if camera in ("frames", info.spec(name).camera)]
    if not names:
        raise UserError(
            f"{info.path} holds none of the datasets that --policy was trained on; name some of "
            f"{', '.join(info.datasets)} with --datasets"
        )
    return names


def write(
    out: Path,
    high: LoadedChunkPolicy,
    info: DatasetInfo,
    skills: Skills,
    made_by: Mapping[str, Any],
) -> None:
    """Writes one split and prints how far the predictions are from the skills of the video."""
    facts = skills.sidecar.facts
    writer = SidecarWriter(
        out,
        info,
        facts.dataset,
        facts.split,
        kind=facts.kind,
        alignment=facts.alignment,
        arrays={skills.array: (np.float32, (high.width,))},
        gap=facts.gap,
        made_by=made_by,
        block_rows=max(1, facts.rows),  # One block: the error is that of all rows of a split.
    )
    if rows_written(writer) is not None:
        return
    predicted = predict(high, info, facts)
    error = relative_error(predicted, skills.sidecar.array(skills.array))
    writer.write(writer.blocks[0], {skills.array: predicted})
    writer.finish()
    print(f"{writer.place}: {facts.rows} transitions, error {error:.2f} of the variance")


def predict(high: LoadedChunkPolicy, info: DatasetInfo, facts: Facts) -> np.ndarray:
    """float32 (N, W), what is predicted at each transition of a split."""
    rows, tick = [], progress(f"{facts.dataset}/{facts.split}", facts.rows)
    for observation in _observations(high, info, facts):
        rows.append(high.decide(*observation)[:, 0])
        tick(len(rows[-1]))
    return np.concatenate(rows)


def relative_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """The squared error of rows (N, W), in units of the variance of the true ones."""
    true = np.asarray(true, np.float64)
    variance = np.square(true - true.mean(0)).sum()
    return float(np.square(predicted - true).sum() / variance) if variance else np.nan


def _observations(
    high: LoadedChunkPolicy, info: DatasetInfo, facts: Facts
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray | None, list[str] | None]]:
    """(frames, states, sentences) at the first frame of every transition, in order."""
    batches = ordered_batches(
        info.path,
        (facts.dataset,),
        facts.split,
        _ROWS,
        fields=("state",) if high.proprio_width else (),
        gap=facts.gap or 1,
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


if __name__ == "__main__":
    cli.run(main)
