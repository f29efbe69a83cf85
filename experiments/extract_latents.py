"""Writes the latent actions of whole datasets.

    python -m experiments.extract_latents --checkpoint=runs/doom --out=latents \\
        [--data=DIR] [--datasets=…] [--splits=train,validation,test]

OUT/<dataset>/<split>.npz, one row per transition in the order of the dataset: slots float32 (N, K,
D), not null-filled; ids int32 (N, K) for discrete codes; episode int64, t int32 and gap int32 (N,),
which join a row to the frames t and t + gap of its episode. OUT/manifest.json says what is
complete. Killed, the same command goes on with the files that are missing.
"""

import json
import os
from pathlib import Path

import numpy as np
from absl import flags

from experiments import cli, lam_inputs
from experiments.progress import progress
from flexlam_jax.errors import UserError

FORMAT = 1

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of the latent action model.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_STEP = flags.DEFINE_integer("step", None, "Training step to load; default the newest.")
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default the one the model was trained on.")
_DATASETS = flags.DEFINE_list(
    "datasets", [], "Datasets of the folder; default those of the training."
)
_SPLITS = flags.DEFINE_list("splits", ["train", "validation", "test"], "Splits to write.")
flags.mark_flags_as_required(["checkpoint", "out"])


def main(argv):
    del argv
    ((_, lam),) = lam_inputs.open_models(_CHECKPOINT.value, [], _STEP.value).items()
    source = lam_inputs.open_source(lam, _DATA.value, _DATASETS.value)
    out = Path(_OUT.value)
    manifest = open_manifest(out, lam, source)
    for name in source.names:
        for split in _SPLITS.value:
            file = f"{name}/{split}.npz"
            known = manifest["files"].get(file)
            if known and (out / file).is_file() and (out / file).stat().st_size == known["bytes"]:
                print(f"{out / file}: already there, {known['transitions']} transitions")
                continue
            rows = encode_split(lam, source, name, split)
            manifest["files"][file] = entry = write_rows(out, file, rows)
            write_atomically(
                out / "manifest.json",
                lambda stream: stream.write(json.dumps(manifest, indent=1).encode()),
            )
            print(
                f"{out / file}: {entry['transitions']} transitions of {entry['episodes']} episodes"
            )
    total = sum(entry["transitions"] for entry in manifest["files"].values())
    print(f"{out}: {total} transitions in {len(manifest['files'])} files")


def open_manifest(out: Path, lam, source: lam_inputs.Source) -> dict:
    """The manifest in `out`, or a new one.

    Raises:
      UserError: the folder holds latents of another model, dataset or gap, or its manifest
        cannot be read.
    """
    mine = {
        "format": FORMAT,
        "model": lam.fingerprint(),
        "step": lam.step,
        "gap": source.gap,
        "data": source.identity(),
        "slots": lam.slots,
        "slot_width": lam.slot_width,
        "codebook_size": lam.codebook_size,
        "budgets": [int(k) for k in lam.budgets],
        "null": [float(x) for x in lam.null],
    }
    file = out / "manifest.json"
    if not file.exists():
        return {**mine, "files": {}}
    try:
        found = json.loads(file.read_text())
        files = dict(found["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}); delete the folder or give another --out"
        ) from error
    if any(found.get(key) != mine[key] for key in ("format", "model", "gap", "data")):
        raise UserError(
            f"{out} holds latents of another model, dataset or gap (step {found.get('step')}, gap "
            f"{found.get('gap')}); delete it or give another --out"
        )
    return {**mine, "files": files}


def encode_split(lam, source: lam_inputs.Source, name: str, split: str) -> dict[str, np.ndarray]:
    """All rows of one split of one dataset."""
    parts: dict[str, list] = {key: [] for key in ("slots", "ids", "episode", "t", "gap")}
    tick = progress(f"{name}/{split}", source.count(split, name))
    for batch in source.batches(split, names=[name]):
        slots, ids = lam.encode_with_ids(batch["frames"][:, 0], batch["frames"][:, 1])
        values = {
            "slots": slots,
            "ids": ids,
            **{key: batch[key] for key in ("episode", "t", "gap")},
        }
        for key, value in values.items():
            if value is not None:
                parts[key].append(value)
        tick(len(slots))
    if not parts["t"]:
        raise UserError(
            f"dataset {name}, split {split!r} holds no transition {source.gap} frames apart; "
            "leave it out with --splits or --datasets"
        )
    return {key: np.concatenate(value) for key, value in parts.items() if value}


def write_rows(out: Path, file: str, rows: dict[str, np.ndarray]) -> dict:
    """Writes one .npz and returns its manifest entry."""
    write_atomically(out / file, lambda stream: np.savez(stream, **rows))
    return {
        "transitions": len(rows["t"]),
        "episodes": len(np.unique(rows["episode"])),
        "arrays": {key: [str(value.dtype), list(value.shape)] for key, value in rows.items()},
        "bytes": (out / file).stat().st_size,
    }


def write_atomically(path: Path, write) -> None:
    """Writes beside `path`, then renames: a kill leaves the old file or none, never half of one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with open(partial, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror or error}); give another --out"
        ) from error


if __name__ == "__main__":
    cli.run(main)
