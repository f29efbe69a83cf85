"""Latents as other people's formats: what of `experiments.extract_latents` is about formats."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.exporters import lary
from data_pipelines.exporters.columns import LatentFacts
from data_pipelines.exporters.episodes import LatentSet, list_entries, open_latent_set
from data_pipelines.exporters.lerobot import beside as lerobot_beside
from data_pipelines.exporters.lerobot import writing as lerobot_writing
from data_pipelines.exporters.lerobot.features import LATENT, PICTURES
from data_pipelines.exporters.rlds import beside as rlds_beside
from data_pipelines.exporters.rlds import writing as rlds_writing
from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.format.sidecar_manifest import FILE_NAME, read_facts
from data_pipelines.format.sidecars import split_fingerprint
from data_pipelines.format.vectors import is_vector
from data_pipelines.optional import require
from experiments.export_cards import DATA, MODEL, Rows, data_card, latent_meanings
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.latents import Manifest
from flexlam_jax.models.gain_head import least_budget

FORMATS = ("lerobot", "rlds", "lary")
_NEEDS = {"lerobot": "pyarrow", "rlds": "google_crc32c"}


@dataclasses.dataclass(frozen=True)
class Export:
    """A format, and what the flags say of it.

    keep: of the column `keep`; None for all slots.  beside: folder of the original set, "" for a
    set of its own.  fps: for data that do not know their frames per second.  tolerance: dB, by which
    the model chooses `keep` for every transition (docs/adaptive_budgets.md).
    """

    format: str
    keep: int | None = None
    beside: str = ""
    fps: float | None = None
    tolerance: float | None = None

    def __post_init__(self):
        """Raises UserError for flags that do not go with the format."""
        if self.beside and self.format not in ("lerobot", "rlds"):
            raise UserError(f"--beside is for lerobot and rlds, not for --format={self.format}")
        if self.fps is not None and (self.format != "lerobot" or self.beside):
            raise UserError("--fps is for --format=lerobot without --beside; leave it out")
        if self.tolerance is not None and (self.format == "lary" or self.keep is not None):
            raise UserError(
                "--tolerance chooses the slots of every transition: leave out --keep; LARY's probe "
                "reads one number of slots, give it --keep instead"
            )
        if self.format in _NEEDS:
            require(_NEEDS[self.format])

    def check(
        self, info: DatasetInfo, names: Sequence[str], splits: Sequence[str], lam: Any
    ) -> None:
        """Raises UserError or DataError for what would only be found out after encoding.

        lam: the model; with a tolerance CheckpointError if it chooses no budgets.
        """
        slots = lam.slots
        if self.keep is not None and not 0 <= self.keep <= slots:
            raise UserError(f"--keep={self.keep} is outside 0..{slots}, the slots of the model")
        if self.beside and len(names) != 1:
            raise UserError(
                f"--beside={self.beside} is one set, and the datasets are {', '.join(names)}; name "
                "the one that was made from it with --datasets"
            )
        for name in names:
            self._check_one(info, name, splits, slots)
        if self.tolerance is not None:
            frame = np.zeros(lam.frame_shape, np.uint8)
            lam.budget(frame, frame, self.tolerance)

    def _check_one(self, info: DatasetInfo, name: str, splits: Sequence[str], slots: int) -> None:
        spec = info.spec(name)
        if self.tolerance is not None and is_vector(spec):
            raise UserError(
                f"--tolerance is for pictures, and dataset {name} has none; give --keep"
            )
        if self.beside:
            matched = lerobot_beside if self.format == "lerobot" else rlds_beside
            matched.check_original(self.beside, name, list_entries(info, name, splits))
        elif self.format == "lerobot":
            lerobot_writing.frame_rate(spec, self.fps)
        elif self.format == "lary":
            lary.check_probe(spec, splits, slots if self.keep is None else self.keep)

    def place(self, out: Path, name: str) -> Path:
        """Where the set of one dataset goes."""
        folder = out / self.format / name
        if self.format == "rlds":
            return folder / rlds_writing.VERSION
        if self.format == "lary":
            return folder / ("all" if self.keep is None else f"keep_{self.keep}")
        return folder

    def write(
        self,
        out: Path,
        info: DatasetInfo,
        name: str,
        splits: Sequence[str],
        lam: Any,
        model: str,
        made: Mapping[str, str],
    ) -> Path:
        """Writes the set of one dataset whose sidecars are in `out`, with its cards.

        Args:
          lam: the model.  model: its card.  made: command and versions.
        """
        choose = None
        if self.tolerance is not None:
            choose = functools.partial(_chosen, lam, self.tolerance)
        source = open_latent_set(
            info, name, splits, out, keep=self.keep, choose=choose, tolerance=self.tolerance
        )
        place = self.place(out, name)
        texts = {MODEL: model, DATA: self._card(source, place, made)}
        if self.format == "lary":
            lary.write_lary(place, source, texts=texts)
        elif self.format == "lerobot" and self.beside:
            lerobot_beside.write_lerobot_beside(place, source, self.beside, texts=texts)
        elif self.format == "lerobot":
            lerobot_writing.write_lerobot(place, source, fps=self.fps, texts=texts)
        elif self.beside:
            rlds_beside.write_rlds_beside(place, source, self.beside, texts=texts)
        else:
            rlds_writing.write_rlds(place, source, texts=texts)
        return place

    def _card(self, source: LatentSet, place: Path, made: Mapping[str, str]) -> str:
        front, prefix, layout = [], "", ""
        meanings = latent_meanings(source.facts)
        own = (
            "The set that the data were prepared from, every column as it was, with the latent "
            "actions of a model beside them. "
            if self.beside
            else "Episodes with the latent actions of a model. "
        )
        if self.format == "lerobot":
            front = ["tags:", "- LeRobot", "- latent-actions", "configs:", "- config_name: default"]
            front += ["  data_files: data/*/*.parquet"]
            prefix = LATENT
            layout = own + 'LeRobot v3.0: `LeRobotDataset("local/name", root="this folder")`.'
            if not self.beside:
                layout += (
                    f" Pictures are `{PICTURES}{source.camera}`. The last row of an episode repeats "
                    "the action before it; `next.done` is true there."
                )
        elif self.format == "rlds":
            prefix = "steps/latent_action/"
            layout = own + 'RLDS in a TFDS folder: `tfds.builder_from_directory("this folder")`.'
            if not self.beside:
                layout += " The last step repeats the action before it, which means nothing there."
        else:
            layout = _LARY.format(
                gap=source.facts.gap, command=lary.probe_command(source, place.absolute())
            )
            meanings = {
                "la_path": f".npz; `tokens` float ({source.facts.keep}, {source.facts.slot_width}): "
                f"the first {source.facts.keep} slots of frames t and t + {source.facts.gap}",
                "action": f".npy float ({lary.WIDTH},): what the probe predicts",
                "episode, t": "of the dataset; the probe does not read them",
            }
        return data_card(
            source.facts,
            source.info,
            rows_of(source.info, source.spec.name, source.splits, source.facts.gap),
            title=f"{source.spec.name} with latent actions",
            layout=layout,
            columns={f"`{prefix}{name}`": told for name, told in meanings.items()},
            front=front,
            **made,
        )


def _chosen(
    lam: Any, tolerance: float, slots: np.ndarray, o_t: np.ndarray, o_next: np.ndarray
) -> np.ndarray:
    """How many slots each transition keeps, int (B,), without encoding it again."""
    shortfall = lam.shortfall(slots, o_t, o_next)
    return np.asarray(least_budget(shortfall, lam.budgets, tolerance))


_LARY = """Codes and actions for the regression probe of LARYBench (arXiv 2604.11689). In its checkout:

```bash
{command}
```

An action is the sum of those between two frames {gap} apart. The paths in the tables are absolute:
write the folder again after moving it. The probe reports its best epoch on the split that it also
chooses it by."""


def rows_of(info: DatasetInfo, name: str, splits: Sequence[str], gap: int) -> list[Rows]:
    """The splits of a dataset, for a card."""
    found = []
    for split in splits:
        entries = list_entries(info, name, [split])
        count = sum(max(0, entry.length - gap) for entry in entries)
        found.append(Rows(name, split, count, split_fingerprint(info, name, split)))
    return found


def write_folder_cards(
    out: Any, manifest: Manifest, info: DatasetInfo, model: str, made: Mapping[str, str]
) -> None:
    """model_card.md and data_card.md of a folder of sidecars and .npz files, of all that is there."""
    facts = LatentFacts(
        model=manifest.model,
        step=manifest.step,
        gap=manifest.gap,
        slots=manifest.slots,
        slot_width=manifest.slot_width,
        codebook_size=manifest.codebook_size,
        budgets=manifest.budgets,
        null=manifest.null,
        keep=manifest.slots,
    )
    places = sorted(Path(out).glob(f"*/*/{FILE_NAME}"))
    held = [(read_facts(file.parent)[0].dataset, file.parent.name) for file in places]
    held += [tuple(name.removesuffix(".npz").split("/")) for name in manifest.files]
    rows = []
    for name, split in dict.fromkeys(held):
        rows += rows_of(info, name, [split], manifest.gap)
    k, d = facts.slots, facts.slot_width
    columns = {
        "`slots`": f"float32 (N, {k}, {d}): of the transitions, before null-fill",
        **({"`ids`": f"int32 (N, {k}): their codes"} if facts.codebook_size is not None else {}),
        "`episode`, `t`, `gap`": f"a row is of frames t and t + {facts.gap} of its episode",
    }
    text = data_card(
        facts,
        info,
        rows,
        title="Latent actions",
        layout="A sidecar or an .npz file of each split, a row per transition in the order of the data: "
        '`flexlam_jax.read_latents("this folder", dataset, split)`.',
        columns=columns,
        codes="slots",
        **made,
    )
    write_atomically(Path(out) / MODEL, model)
    write_atomically(Path(out) / DATA, text)
