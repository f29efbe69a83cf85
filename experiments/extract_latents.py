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

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags

from data_pipelines.format.sidecar_writing import SidecarWriter
from experiments import cli, lam_inputs, latent_exports, provenance
from experiments.export_cards import model_card
from experiments.progress_bar import progress
from experiments.written_before import rows_written
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
from flexlam_jax.models.slot_distributions import MANY_CODES
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import batch_sharding, replicated

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
    "keep", None, "Slots that --format=lerobot, rlds or lary tells to use; default all."
)
_BESIDE = flags.DEFINE_string(
    "beside", "", "The LeRobot or RLDS set that the data were prepared from, to keep its columns."
)
_FPS = flags.DEFINE_float(
    "fps", None, "For --format=lerobot, where the data do not know their frames per second."
)
_SHARD = flags.DEFINE_string("shard", "0/1", "i/n: part i, from 0, of n processes that share it.")
flags.mark_flag_as_required("out")

_BLOCK_ROWS = 8 * lam_inputs.BATCH_SIZE  # whole batches: no row is padded but the last

# (o_t, o_next) uint8 (B, H, W, C) -> slots (B, K, D), ids (B, K) or None.
Encode = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


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
        export.check(source.info, source.names, splits, lam.slots)
    card, made = describe(lam)
    encode = encoder(lam)
    written = 0
    with output_folder.Claim(out, output_folder.LATENTS, shared=shared):
        manifest = open_manifest(out, lam, source)
        levels = lam.levels if (lam.codebook_size or 0) > MANY_CODES else ()
        for name in source.names:
            rows = []
            for split in splits:
                if _FORMAT.value == "npz":
                    rows.append(extract_npz(encode, source, name, split, out, manifest))
                else:
                    rows.append(
                        extract_sidecar(encode, source, name, split, out, manifest, shard, levels)
                    )
            written += sum(rows)
            if export is not None and all(rows):
                print(export.write(Path(out), source.info, name, splits, card, made))
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
        return latent_exports.Export(_FORMAT.value, _KEEP.value, beside, _FPS.value)
    for flag in (_KEEP, _BESIDE, _FPS):
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


def encoder(lam) -> Encode:
    """Encodes batches of at most BATCH_SIZE rows, on all local devices."""
    count = 1 << (jax.local_device_count().bit_length() - 1)  # divides BATCH_SIZE
    count = min(count, lam_inputs.BATCH_SIZE)
    if count == 1:
        return lam.encode_with_ids
    mesh = make_mesh({"data": count}, jax.local_devices()[:count])
    placed, rows = lam.placed(replicated(mesh)), batch_sharding(mesh)

    def encode(*frames):
        fill = lam_inputs.BATCH_SIZE - len(frames[0])
        full = [np.concatenate([x, np.repeat(x[-1:], fill, 0)]) if fill else x for x in frames]
        slots, ids = placed.encode_with_ids(*(jax.device_put(x, rows) for x in full))
        held = slice(len(frames[0]))
        return np.asarray(slots)[held], None if ids is None else np.asarray(ids)[held]

    return encode


def open_manifest(out, lam, source: lam_inputs.Source) -> Manifest:
    """The manifest in `out`, or a new one, which is then there.

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
        write_manifest(out, mine)
        return mine
    if (found.model, found.gap, found.data) != (mine.model, mine.gap, mine.data):
        raise UserError(
            f"{out} holds latents of another model, dataset or gap (step {found.step}, gap "
            f"{found.gap}); give another --out"
        )
    mine.files.update(found.files)
    return mine


def extract_sidecar(
    encode: Encode,
    source: lam_inputs.Source,
    name: str,
    split: str,
    out,
    manifest: Manifest,
    shard,
    levels: Sequence[int] = (),
) -> int:
    """Writes this shard's blocks of one split, and puts all together if they are there.

    levels: values of each digit of a code, told where a policy is to predict digits.

    Returns the transitions of the split if it is finished, else 0.
    """
    writer = open_writer(source, name, split, out, manifest, levels)
    before = rows_written(writer)
    if before is not None:
        return before
    write_blocks(encode, source, name, split, writer, shard)
    sidecar = writer.finish()
    if sidecar is None:
        print(
            f"{writer.place}: {writer.count_missing()} of {len(writer.blocks)} blocks are missing; "
            f"the other shards write them"
        )
        return 0
    print(f"{writer.place}: {writer.facts.rows} transitions")
    return writer.facts.rows


def open_writer(
    source: lam_inputs.Source,
    name: str,
    split: str,
    out,
    manifest: Manifest,
    levels: Sequence[int] = (),
) -> SidecarWriter:
    """The writer of one split's latents; raises DataError for a folder of another model."""
    arrays = {"slots": (np.float32, (manifest.slots, manifest.slot_width))}
    if manifest.codebook_size is not None:
        arrays["ids"] = (np.int32, (manifest.slots,))
    about = ("model", "step", "slots", "slot_width", "codebook_size", "budgets", "null")
    made_by = {key: getattr(manifest, key) for key in about}
    if levels:
        made_by["levels"] = list(levels)
    return SidecarWriter(
        Path(out),
        source.info,
        name,
        split,
        kind="latents",
        alignment="transition",
        arrays=arrays,
        gap=source.gap,
        made_by=made_by,
        block_rows=_BLOCK_ROWS,
    )


def write_blocks(
    encode: Encode,
    source: lam_inputs.Source,
    name: str,
    split: str,
    writer: SidecarWriter,
    shard: tuple[int, int],
) -> None:
    """Encodes and writes the blocks of a shard that are missing."""
    # Listed at once, so that one pass over the records reads them; others' blocks are not ours.
    missing = list(writer.missing(*shard))
    spans = [range(block.start, block.stop) for block in missing]
    batches = source.batches(split, names=[name], spans=spans)
    tick = progress(f"{name}/{split}", sum(map(len, spans)))
    for block in missing:
        rows = encode_rows(encode, batches, block.stop - block.start, tick)
        writer.write(block, rows)


def encode_rows(
    encode: Encode, batches: Iterator[dict], count: int, tick: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """The next `count` rows, which end with a batch."""
    parts: dict[str, list] = {"slots": [], "ids": []}
    done = 0
    while done < count:
        batch = next(batches)
        slots, ids = encode(batch["frames"][:, 0], batch["frames"][:, 1])
        done += len(slots)
        parts["slots"].append(slots)
        if ids is not None:
            parts["ids"].append(ids)
        tick(len(slots))
    return {key: np.concatenate(part) for key, part in parts.items() if part}


def extract_npz(
    encode: Encode, source: lam_inputs.Source, name: str, split: str, out, manifest: Manifest
) -> int:
    """Writes one split of one dataset, unless it is there as it was written; its transitions."""
    file = file_name(name, split)
    known = manifest.files.get(file)
    if known:
        try:
            verify(out, file, known)
            print(f"{out / file}: already there, {known.transitions} transitions")
            return known.transitions
        except DamagedFile as damage:
            print(f"written again: {damage}")
    rows = encode_split(encode, source, name, split)
    manifest.files[file] = entry = write_latents(out, file, rows)
    write_manifest(out, manifest)
    print(f"{out / file}: {entry.transitions} transitions of {entry.episodes} episodes")
    return entry.transitions


def encode_split(encode: Encode, source: lam_inputs.Source, name: str, split: str) -> Latents:
    """All rows of one split of one dataset."""
    parts: dict[str, list] = {key: [] for key in ("slots", "ids", "episode", "t", "gap")}
    tick = progress(f"{name}/{split}", source.count(split, name))
    for batch in source.batches(split, names=[name]):
        slots, ids = encode(batch["frames"][:, 0], batch["frames"][:, 1])
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
