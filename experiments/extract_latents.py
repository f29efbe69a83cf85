"""Writes the latent actions of whole datasets.

    python -m experiments.extract_latents --checkpoint=runs/doom --out=latents \\
        [--data=DIR] [--datasets=…] [--splits=train,validation,test]

OUT/<dataset>/<split>.npz, one row per transition in the order of the dataset: slots float32 (N, K,
D), not null-filled; ids int32 (N, K) for discrete codes; episode int64, t int32 and gap int32 (N,),
which join a row to the frames t and t + gap of its episode. OUT/manifest.json says what is complete
and holds a hash of each file; flexlam_jax.read_latents reads them, verified. Killed, the same
command goes on with the files that are missing or damaged.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import numpy as np
from absl import flags

from experiments import cli, lam_inputs
from experiments.progress import progress
from flexlam_jax import output_folder
from flexlam_jax.errors import DamagedFile, UserError
from flexlam_jax.latents import (
    Latents,
    Manifest,
    file_name,
    read_manifest,
    verify,
    write_latents,
    write_manifest,
)

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs()
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_SPLITS = flags.DEFINE_list("splits", ["train", "validation", "test"], "Splits to write.")
flags.mark_flag_as_required("out")


def main(argv):
    del argv
    out = output_folder.check(_OUT.value, output_folder.LATENTS)
    splits, datasets = lam_inputs.listed(_SPLITS), lam_inputs.listed(_DATASETS)
    models = lam_inputs.open_models(lam_inputs.text(_CHECKPOINT), [], _STEP.value)
    ((_, lam),) = models.items()
    source = lam_inputs.open_source(lam, lam_inputs.text(_DATA), datasets)
    source.check_splits(splits)
    with output_folder.Claim(out, output_folder.LATENTS):
        manifest = open_manifest(out, lam, source)
        for name in source.names:
            for split in splits:
                extract(lam, source, name, split, out, manifest)
    total = sum(entry.transitions for entry in manifest.files.values())
    print(f"{out}: {total} transitions in {len(manifest.files)} files")


def open_manifest(out, lam, source: lam_inputs.Source) -> Manifest:
    """The manifest in `out`, or a new one.

    Raises:
      UserError: the folder holds latents of another model, dataset or gap, or its manifest
        cannot be read.
    """
    mine = Manifest(
        model=lam.fingerprint(),
        step=lam.step,
        gap=source.gap,
        data=source.identity(),
        slots=lam.slots,
        slot_width=lam.slot_width,
        codebook_size=lam.codebook_size,
        budgets=tuple(int(k) for k in lam.budgets),
        null=tuple(float(x) for x in lam.null),
    )
    found = read_manifest(out)
    if found is None:
        return mine
    if (found.model, found.gap, found.data) != (mine.model, mine.gap, mine.data):
        raise UserError(
            f"{out} holds latents of another model, dataset or gap (step {found.step}, gap "
            f"{found.gap}); give another --out"
        )
    mine.files.update(found.files)
    return mine


def extract(lam, source: lam_inputs.Source, name: str, split: str, out, manifest: Manifest) -> None:
    """Writes one split of one dataset, unless it is there as it was written."""
    file = file_name(name, split)
    known = manifest.files.get(file)
    if known:
        try:
            verify(out, file, known)
            print(f"{out / file}: already there, {known.transitions} transitions")
            return
        except DamagedFile as damage:
            print(f"written again: {damage}")
    rows = encode_split(lam, source, name, split)
    manifest.files[file] = entry = write_latents(out, file, rows)
    write_manifest(out, manifest)
    print(f"{out / file}: {entry.transitions} transitions of {entry.episodes} episodes")


def encode_split(lam, source: lam_inputs.Source, name: str, split: str) -> Latents:
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
    return Latents(**{k: np.concatenate(part) if part else None for k, part in parts.items()})


if __name__ == "__main__":
    cli.run(main)
