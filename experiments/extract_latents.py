"""Writes the latent actions of whole datasets.

    python -m experiments.extract_latents --checkpoint=runs/doom --out=latents \\
        [--data=DIR] [--datasets=…] [--splits=train,validation,test] [--shard=0/4] [--format=npz]

OUT/<dataset>/<split>/ is a sidecar (docs/data/loading.md), which data.sidecars of the loader joins
to batches: slots float32 (N, K, D), not null-filled, and ids int32 (N, K) for discrete codes, one
row per transition in the order of the dataset. With --format=npz it is one file instead,
OUT/<dataset>/<split>.npz, which holds episode int64, t int32 and gap int32 (N,) too. OUT/manifest.json
says of which model all are, with its null latent and budgets. flexlam_jax.read_latents reads both,
verified. OUT/model_card.md and data_card.md say the same in words.

Other people's formats are made of the sidecars, which are written first (docs/data/exports.md):

    --format=lerobot [--beside=SET] [--keep=K] [--fps=N]   OUT/lerobot/<dataset>/, LeRobot v3.0
    --format=rlds [--beside=SET] [--keep=K]                OUT/rlds/<dataset>/1.0.0/, TFRecord
    --format=lary [--keep=K]                               OUT/lary/<dataset>/, for LARYBench's probe

with a set of its own for every dataset; or, --beside the set that the dataset was prepared from,
with all its columns and the latent ones. The original is only read.

Killed, the same command goes on with the blocks (of a .npz: the files) that are missing or damaged.
--shard=i/n writes every n-th block, so that n processes, on as many machines as see the folder,
share the work; the last of them puts the blocks together, and writes the other format alone. Batches
are split over all local devices.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

from pathlib import Path

from absl import flags

from experiments import cli, lam_inputs, latent_exports, latent_files, provenance
from experiments.export_cards import model_card
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.models.slot_distributions import MANY_CODES

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs()
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_SPLITS = flags.DEFINE_list("splits", ["train", "validation", "test"], "Splits to write.")
_FORMAT = flags.DEFINE_enum(
    "format",
    "sidecar",
    ["sidecar", "npz", *latent_exports.FORMATS],
    "Memory-mapped arrays, one file per split, or a format of other tools.",
)
_KEEP = flags.DEFINE_integer(
    "keep",
    None,
    "Slots that --format=lerobot, rlds or lary tells to use; default all.",
    lower_bound=0,
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "dB of PSNR: lerobot and rlds get a --keep of every transition that lacks no more.",
    lower_bound=0,
)
_BESIDE = flags.DEFINE_string(
    "beside", "", "The LeRobot or RLDS set that the data were prepared from, to keep its columns."
)
_FPS = flags.DEFINE_float(
    "fps",
    None,
    "For --format=lerobot, where the data do not know their frames per second.",
    lower_bound=0.001,
    upper_bound=1e6,
)
_SHARD = flags.DEFINE_string("shard", "0/1", "i/n: part i, from 0, of n processes that share it.")
flags.mark_flag_as_required("out")


def main(argv):
    del argv
    shard = read_shard(lam_inputs.text(_SHARD))
    shared = shard[1] > 1
    out = output_folder.check(_OUT.value, output_folder.LATENTS, shared=shared)
    if shared and _FORMAT.value == "npz":
        raise UserError("--shard is for sidecars; leave out --format=npz, or --shard")
    export = read_export()
    splits, datasets = lam_inputs.listed(_SPLITS), lam_inputs.listed(_DATASETS)
    models = lam_inputs.open_models(lam_inputs.text(_CHECKPOINT), [], _STEP.value)
    ((_, lam),) = models.items()
    source = lam_inputs.open_source(lam, lam_inputs.text(_DATA), datasets)
    source.check_splits(splits)
    if export is not None:
        export.check(source.info, source.names, splits, lam)
    card, made = describe(lam)
    encode = latent_files.encoder(lam)
    written = 0
    with output_folder.Claim(out, output_folder.LATENTS, shared=shared):
        manifest = latent_files.open_manifest(out, lam, source)
        levels = lam.levels if (lam.codebook_size or 0) > MANY_CODES else ()
        for name in source.names:
            rows = []
            for split in splits:
                if _FORMAT.value == "npz":
                    rows.append(
                        latent_files.extract_npz(encode, source, name, split, out, manifest)
                    )
                else:
                    rows.append(
                        latent_files.extract_sidecar(
                            encode, source, name, split, out, manifest, shard, levels
                        )
                    )
            written += sum(rows)
            if export is not None and all(rows):
                print(export.write(Path(out), source.info, name, splits, lam, card, made))
        latent_exports.write_folder_cards(out, manifest, source.info, card, made)
    print(f"{out}: {written} transitions in {len(source.names) * len(splits)} splits")


def read_shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n"; raises UserError unless 0 <= i < n."""
    numbers = [lam_inputs.whole_number(part) for part in text.split("/")]
    if len(numbers) != 2 or None in numbers or numbers[0] >= numbers[1]:
        raise UserError(f"--shard={text} is not i/n with 0 <= i < n, as 0/4, 1/4, 2/4 and 3/4")
    return numbers[0], numbers[1]


def read_export() -> latent_exports.Export | None:
    """What the flags say of another format; raises UserError for flags that need one."""
    if _FORMAT.value in latent_exports.FORMATS:
        beside = lam_inputs.text(_BESIDE)
        return latent_exports.Export(
            _FORMAT.value, _KEEP.value, beside, _FPS.value, _TOLERANCE.value
        )
    for flag in (_KEEP, _TOLERANCE, _BESIDE, _FPS):
        if flag.present:
            raise UserError(
                f"--{flag.name} is for --format={', '.join(latent_exports.FORMATS)}, not for "
                f"--format={_FORMAT.value}"
            )
    return None


def describe(lam) -> tuple[str, dict[str, str]]:
    """(the model card, how the cards were made)."""
    made = {
        "command": provenance.command("experiments.extract_latents"),
        "versions": provenance.versions(),
    }
    checkpoint = lam_inputs.text(_CHECKPOINT)
    return model_card(lam, checkpoint, lam_inputs.model_name(checkpoint), **made), made


if __name__ == "__main__":
    cli.run(main)
