"""What carrying codes over gave, as tables, curves, sentences and pictures."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.transfer.pairing import Key
from flexlam_jax.evaluation.lam.pictures import lively
from flexlam_jax.evaluation.lam.transfer import (
    COPY,
    CYCLE,
    HOME,
    NAMES,
    OWN,
    SHUFFLED,
    Carried,
    Pairs,
    carry,
    nearer,
)
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.reports.page import Charts, Facts, Findings, Pictures, Section, Text
from flexlam_jax.reports.pictures import to_bytes
from flexlam_jax.reports.results import (
    Cell,
    Column,
    Curve,
    Level,
    Number,
    Picture,
    PictureGrid,
    Sample,
    Series,
    Slider,
    Table,
    used,
)

CSV_COLUMNS = ("k", "measure", "mean", "low", "high", "n", "unit", "over")
AIM = 0.8  # of what the translator reads of real codes, at k = 1
_OVER = "± is half of a 95 % bootstrap interval over episodes of the source."
_NEARER = {OWN: "its own scene", SHUFFLED: "another's code", "": "not told apart"}


@dataclasses.dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
      rows: of `evaluation.lam.transfer.transfer`.
      source, target: names of datasets.      facts: how it was made.
      no_actions: why nothing is said of actions; "" where something is.
    """

    rows: Sequence[Mapping[str, Any]]
    source: Sequence[str]
    target: Sequence[str]
    facts: Mapping[str, str]
    no_actions: str

    def tables(self) -> list[Table]:
        found = [replays_table(self.rows), codes_table(self.rows)]
        return [table for table in found if table.columns[1:]]

    def as_json(self) -> dict[str, Any]:
        return {
            "title": f"Latent actions of {', '.join(self.source)}, carried to {', '.join(self.target)}",
            "summary": self.sentences(),
            "rows": [{**row, "nearer": nearer(row)} for row in self.rows],
            "run": dict(self.facts),
        }

    def sentences(self) -> list[str]:
        """What a reader should take from the tables."""
        return [sentence for row in self.rows if row["k"] for sentence in _sentences(row)]

    def page(self, grid: PictureGrid) -> list[Section]:
        """The sections of report.html."""
        return [
            Text(
                "A code is read from a transition, applied to a frame of another scene, read again from "
                "what came out there, and replayed on the frame that it came from. What it says of the "
                "scene it was read in is lost on the way; what it says of the change is not.",
                "about",
            ),
            Findings("What this shows", self.sentences()),
            *([Text(f"Actions were not read: {self.no_actions}.")] if self.no_actions else []),
            Charts("Replays", curves(self.rows), "Against the true next frame of the source."),
            Pictures("Carried over", grid),
            *self.tables(),
            Facts("How this was made", self.facts),
        ]


def replays_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Errors against the true next frame."""
    shown = [{**row, "nearer": Cell(_NEARER[nearer(row)])} for row in rows]
    columns = [
        Column("k", "k"),
        *(Column(f"psnr_{name}", f"{title}, dB") for name, title in NAMES.items()),
        Column("lost", "cycle below own scene, dB"),
        Column("above", "cycle above shuffled, dB"),
        Column("kept", "kept"),
        Column("ratio", "error, of own scene's"),
        Column("nearer", "nearer to"),
    ]
    return Table(
        "Replays on the source",
        shown,
        used(columns, shown),
        index=("k",),
        caption="PSNR against the true next frame of the source. Own scene: its code decoded where it "
        "was read. Cycle: the code read from the target after it was applied there. Cycle at home: the "
        "same with the source's own frame as the target. Shuffled: the code of another transition. "
        "Kept: how far the cycle's error lies from shuffled (0) to own scene (1). " + _OVER,
    )


def codes_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What is left of ids and actions."""
    columns = [
        Column("k", "k"),
        Column("ids", "same ids", 3),
        Column("ids_shuffled", "same ids, shuffled", 3),
        Column("action_real", "action, real code", 3),
        Column("action_carried", "action, carried code", 3),
        Column("action_shuffled", "action, shuffled code", 3),
        Column("action_relative", "carried, of real", 3),
    ]
    return Table(
        "Codes read again",
        rows,
        used(columns, rows),
        index=("k",),
        caption="Same ids: share of slots that are read again as they were. Action: what the translator "
        "reads, balanced accuracy (of continuous actions: share of their variance). " + _OVER,
    )


def curves(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """PSNR and SSIM of the replays by k."""
    found = []
    for measure, unit, digits in (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3)):
        if f"{measure}_{OWN}" not in rows[0]:
            continue
        series = [
            Series(NAMES[name], [(row["k"], row[f"{measure}_{name}"]) for row in rows])
            for name in (OWN, CYCLE, HOME, SHUFFLED)
        ]
        level = Level(NAMES[COPY], rows[0][f"{measure}_{COPY}"].mean)
        found.append(Curve(unit, series, [level], "slots kept", unit, "k", digits))
    return found


def csv_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line per number."""
    for row in rows:
        for measure, number in row.items():
            if isinstance(number, Number):
                yield {"k": row["k"], "measure": measure, **dataclasses.asdict(number)}


def gallery(
    lam: LoadedLam,
    pairs: Pairs,
    sources: Sequence[Key],
    targets: Sequence[Key],
    count: int,
    seed: int,
) -> PictureGrid:
    """Pairs at random from the half in which most changes; the slider is over k."""
    rows = lively(pairs.o_s, pairs.o_next, count, seed)
    some = Pairs(pairs.o_s[rows], pairs.o_next[rows], pairs.o_x[rows], pairs.episode[rows])
    budgets = sorted(k for k in lam.budgets if k)
    read = lam.encode_with_ids(some.o_s, some.o_next)
    carried = {k: carry(lam, some, read, k) for k in budgets}
    samples = [
        _sample(i, some, carried, sources[row], targets[row]) for i, row in enumerate(rows.tolist())
    ]
    texts = [f"k = {k} of {lam.slots}" for k in budgets]
    return PictureGrid(
        samples,
        Slider("slots kept", "k", budgets, texts),
        "Pairs at random from the half of the transitions in which most changes. The code of the first "
        "two pictures is applied to the third, which gives the fourth; the code that is read between "
        "these two, applied to the first, gives the last.",
    )


def _sample(
    i: int, pairs: Pairs, carried: Mapping[int, Carried], source: Key, target: Key
) -> Sample:
    def each(label: str, images: Sequence[np.ndarray], what: str) -> Picture:
        return Picture(label, images, [f"{what}, {k} slots kept" for k in carried])

    before, after, there = (
        Picture(label, [image], [label])
        for label, image in (
            ("source", pairs.o_s[i]),
            ("source, next", pairs.o_next[i]),
            ("target", pairs.o_x[i]),
        )
    )
    return Sample(
        f"{_place(source)}, on {_place(target)}",
        [
            before,
            after,
            there,
            each(
                "applied", [one.there[i] for one in carried.values()], "the target after the code"
            ),
            each(
                "own scene",
                [to_bytes(one.replays[OWN][i]) for one in carried.values()],
                "the code on its own frame",
            ),
            each(
                "replayed",
                [to_bytes(one.replays[CYCLE][i]) for one in carried.values()],
                "the code read from the target, on the source",
            ),
        ],
        [""] * len(carried),
    )


def _place(key: Key) -> str:
    dataset, episode, t = key
    return f"{dataset} {episode}, t = {t}"


def _sentences(row: Mapping[str, Any]) -> Iterator[str]:
    lost, above, near = row["lost"], row["above"], nearer(row)
    where = {
        OWN: "nearer to its own scene than to another transition's code",
        SHUFFLED: "nearer to another transition's code than to its own scene",
        "": "not clearly nearer to its own scene than to another transition's code",
    }[near]
    yield (
        f"k = {row['k']}: a code that was applied elsewhere and read again replays {lost.mean:.2f} dB "
        f"below its own scene [{lost.low:.2f}, {lost.high:.2f}] and {above.mean:.2f} dB above another "
        f"transition's code [{above.low:.2f}, {above.high:.2f}]: {where}."
    )
    if "action_relative" in row:
        told = row["action_relative"]
        aim = f"; the aim is {AIM}" if row["k"] == 1 else ""
        yield (
            f"k = {row['k']}: of it the translator reads actions at {told.mean:.2f} [{told.low:.2f}, "
            f"{told.high:.2f}] of its accuracy on codes as they were{aim}."
        )
