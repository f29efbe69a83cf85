"""Which latent actions lie beside the frames that a config reads; manifests are read only."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_manifest import Facts, read_facts
from data_pipelines.format.sidecars import Sidecar, open_sidecar, sidecar_folder
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from data_pipelines.loading.sidecar_columns import chosen_array

COLUMNS = ("ids", "slots")  # Of discrete slots, and of continuous ones.


@dataclasses.dataclass(frozen=True)
class DataCodes:
    """What the latent actions are, and which model made them.

    Attributes:
      slots: K.  codebook_size: 0 for continuous slots.  slot_width: D.
      gap: frames of a transition.  step, fingerprint: of the latent action model.
      levels: values of each digit of a code, None where codes have none or are few.
    """

    slots: int
    codebook_size: int
    slot_width: int
    gap: int
    step: int
    fingerprint: str
    levels: tuple[int, ...] | None = None


def shared_codes(data: Mapping[str, Any], splits: Sequence[str]) -> DataCodes:
    """The latent actions that all datasets of a config's `data` section share.

    A sidecar column `ids` holds discrete slots, a column `slots` continuous ones.

    Raises:
      DataError: a dataset without such a column, sidecars that experiments.extract_latents did not
        write, codes of two models, or as `training_batches`.
    """
    found: dict[str, DataCodes] = {}
    for mixed, entry in loader_options(data).entries.items():
        where = f"data.mixture.{mixed}.sidecars" if mixed else "data.sidecars"
        column = next((name for name in COLUMNS if name in entry.sidecars), None)
        if column is None:
            raise DataError(
                f"{where} names no latent actions; give the folder that "
                f"experiments.extract_latents wrote, as {where}.ids=latents, or {where}.slots="
                "latents for continuous slots"
            )
        given = entry.sidecars[column]
        folder = given["path"] if isinstance(given, Mapping) else given
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            for split in splits:
                place = sidecar_folder(folder, name, split)
                found[str(place)] = _codes(read_facts(place)[0], column, str(place))
    return _only(found)


def shared_vectors(
    data: Mapping[str, Any], splits: Sequence[str], column: str
) -> tuple[DataCodes, tuple[int, ...]]:
    """The real vectors of a sidecar column, whatever wrote them, as the latent actions of all datasets.

    Returns:
      (rows (F,) as one slot, rows (K, D) as K; the shape of a row). What the sidecar's `made_by` says
      of `model` and `step` is kept; a column of frames has gap 1.

    Raises:
      DataError: a dataset without the column, rows that are no such vectors, vectors of two models,
        or as `open_sidecar`.
    """
    found: dict[str, DataCodes] = {}
    for mixed, entry in loader_options(data).entries.items():
        where = f"data.mixture.{mixed}.sidecars" if mixed else "data.sidecars"
        if column not in entry.sidecars:
            raise DataError(
                f"{where} names no column {column!r}, which config.latents.column asks for; give "
                f"its folder, as {where}.{column}=FOLDER"
            )
        given = entry.sidecars[column]
        given = given if isinstance(given, Mapping) else {"path": given}
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            for split in splits:
                sidecar = open_sidecar(given["path"], info, name, split)
                array = chosen_array(sidecar, column, given.get("array"))
                found[str(sidecar.place)], row = _vectors(sidecar, array)
    return _only(found), row


def _vectors(sidecar: Sidecar, array: str) -> tuple[DataCodes, tuple[int, ...]]:
    facts = sidecar.facts
    row, of = facts.arrays[array], facts.made_by
    shape = tuple(row.shape)
    if np.dtype(row.dtype).kind != "f" or len(shape) not in (1, 2) or facts.alignment == "episode":
        raise DataError(
            f"{sidecar.place}: its array {array!r} has one row {row.dtype} {shape} per "
            f"{facts.alignment}; skills are learned from real vectors (F,) or slots (K, D), one per "
            "frame or transition"
        )
    codes = DataCodes(
        slots=shape[0] if len(shape) == 2 else 1,
        codebook_size=0,
        slot_width=shape[-1],
        gap=int(facts.gap or 1),
        step=of["step"] if isinstance(of.get("step"), int) else 0,
        fingerprint=str(of.get("model", "")),
    )
    return codes, shape


def _codes(facts: Facts, column: str, place: str) -> DataCodes:
    of = facts.made_by
    try:
        codebook_size = of["codebook_size"] or 0
        return DataCodes(
            slots=int(of["slots"]),
            codebook_size=int(codebook_size) if column == "ids" else 0,
            slot_width=int(of["slot_width"]),
            gap=int(facts.gap or 0),
            step=int(of["step"]),
            fingerprint=str(of["model"]),
            levels=tuple(map(int, of["levels"])) if column == "ids" and "levels" in of else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: its manifest does not say which latent action model made it ({error!r}); "
            "name a folder that experiments.extract_latents wrote"
        ) from error


def _only(found: Mapping[str, DataCodes]) -> DataCodes:
    (first, shared), *others = found.items()
    for place, codes in others:
        if codes != shared:
            raise DataError(
                f"{first} and {place} hold codes of different latent action models or gaps, "
                f"{_told(shared)} and {_told(codes)}; write both with one model, by "
                "experiments.extract_latents"
            )
    return shared


def _told(codes: DataCodes) -> str:
    return (
        f"{codes.fingerprint[:12]} (step {codes.step}, {codes.slots} slots of "
        f"{codes.codebook_size or 'continuous'} codes, gap {codes.gap})"
    )
