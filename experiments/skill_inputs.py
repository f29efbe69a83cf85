"""What the binaries that apply skills share: the skills, and the latent actions they are applied to."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import (
    held_datasets,
    holds_sidecar,
    open_sidecar,
    split_episodes,
)
from data_pipelines.loading.sidecar_columns import chosen_array
from experiments import lam_inputs
from experiments.skill_episodes import Episodes
from flexlam_jax.errors import UserError
from flexlam_jax.loading.hilam import LoadedHiLam
from flexlam_jax.loading.load import load_as

_SLOTS = "slots"  # the array of experiments.extract_latents
flags.disclaim_key_flags()  # Flags defined here belong to the binary that asks for them: --help.


class SkillFlags(NamedTuple):
    """The flags that say which skills are read and which latent actions they are applied to."""

    inputs: lam_inputs.InputFlags
    latents: flags.FlagHolder


def define_inputs() -> SkillFlags:
    """The flags --checkpoint and --latents (required), --step, --data and --datasets."""
    inputs = lam_inputs.define_inputs("the skills", "Datasets; default those that --latents has.")
    latents = flags.DEFINE_string(
        "latents",
        None,
        "Latent actions of that data, of the model that the skills were trained with.",
        required=True,
    )
    return SkillFlags(inputs, latents)


@dataclasses.dataclass(frozen=True)
class SkillSource:
    """Skills, and the latent actions of the datasets that they are applied to."""

    skills: LoadedHiLam
    data: lam_inputs.Source
    latents: Path

    def has(self, name: str, split: str) -> bool:
        """Whether there are finished latent actions of that split."""
        return holds_sidecar(self.latents, name, split)

    def episodes(self, name: str, split: str) -> Episodes:
        """Raises DataError for latent actions that are not there, damaged, or of another model."""
        skills, info = self.skills, self.data.info
        model = skills.lam["fingerprint"] or None  # Vectors of no model bear none.
        sidecar = open_sidecar(self.latents, info, name, split, gap=skills.gap, model=model)
        column, asked = _column(skills.config)
        array = sidecar.array(chosen_array(sidecar, column, asked))
        codes = skills.config["codes"]
        if math.prod(array.shape[1:]) != codes["slots"] * codes["slot_width"]:
            raise DataError(
                f"{sidecar.place} has rows of shape {array.shape[1:]}; these skills are of "
                f"{codes['slots']} x {codes['slot_width']} numbers: name what they were trained on"
            )
        listed = split_episodes(info, name, split)
        first = listed.offsets(sidecar.facts.alignment, sidecar.facts.gap)[:-1]
        return Episodes(skills, array, listed.numbers, listed.lengths - skills.gap, first)


def open_source(given: SkillFlags) -> SkillSource:
    """The skills and the data that the flags name.

    Raises:
      CheckpointError: --checkpoint holds no skills.
      UserError: no data folder known, or no latent actions of it in --latents.
      DataError: no such data or dataset.
    """
    checkpoint, step, data, datasets = given.inputs
    skills = load_as("hilam", lam_inputs.text(checkpoint), step.value)
    folder = Path(lam_inputs.text(given.latents)).expanduser()
    path = lam_inputs.text(data) or (skills.config.get("data") or {}).get("path")
    if not path:
        raise UserError("the checkpoint does not say which data it was trained on; give --data=DIR")
    info = open_dataset(path)
    named = lam_inputs.listed(datasets)
    for name in named:
        info.spec(name)
    held = held_datasets(folder, info)
    if not held:
        raise UserError(
            f"--latents={folder} holds no finished latent actions of the datasets in {path}; write "
            "them with experiments.extract_latents"
        )
    return SkillSource(skills, lam_inputs.Source(info, tuple(named or held), skills.gap), folder)


def splits_of(source: SkillSource, name: str, wanted: Sequence[str]) -> list[str]:
    """The wanted splits of a dataset; those that have latent actions where none are wanted.

    Raises DataError for a dataset that has none.
    """
    found = list(wanted) or [s for s in source.data.info.shards[name] if source.has(name, s)]
    if not found:
        raise DataError(
            f"{source.latents} holds no finished latent actions of dataset {name!r}; write them "
            "with experiments.extract_latents, or leave it out of --datasets"
        )
    return found


def _column(config: Mapping[str, Any]) -> tuple[str, str | None]:
    """The column of latent actions that skills were trained on, and the array that it was read from."""
    column = config["latents"].get("column", _SLOTS)
    given = (config["data"].get("sidecars") or {}).get(column)
    return column, given.get("array") if isinstance(given, Mapping) else None
