"""Latents as files of this package: the sidecars and .npz files of `experiments.extract_latents`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from data_pipelines.format.sidecar_writing import SidecarWriter
from experiments import lam_inputs
from experiments.progress_bar import progress
from experiments.written_before import rows_written
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
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import batch_sharding, replicated

_BLOCK_ROWS = 8 * lam_inputs.BATCH_SIZE  # whole batches: no row is padded but the last

# (o_t, o_next) uint8 (B, H, W, C) -> slots (B, K, D), ids (B, K) or None.
Encode = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


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
