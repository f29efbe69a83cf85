"""The state of a dataset as frames, for the binaries that apply latent action models to data.

Dimension keys: B rows, S columns of a model, H instants of its history.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.format.manifest import DatasetInfo
from experiments.vector_statistics import shared_columns
from flexlam_jax.errors import UserError
from flexlam_jax.loading.vector_lam import NormalisedVectorLam
from flexlam_jax.models.vectors import Units

_ORDER = ("dataset", "episode", "t")


def check_alike(lams: Mapping[str, Any]) -> None:
    """Raises UserError for models that read different vectors, or vectors beside frames."""
    seen = {
        (lam.columns, lam.history, lam.units) if isinstance(lam, NormalisedVectorLam) else None
        for lam in lams.values()
    }
    if len(seen) > 1:
        raise UserError(
            f"the models {', '.join(lams)} read different columns, histories or units of vectors, or "
            "some of them frames; compare them separately"
        )


@dataclasses.dataclass(frozen=True)
class VectorReader:
    """What a model of vectors reads of batches with `state`.

    Attributes:
      columns: names.      positions: of its columns in the state of the data.
      units: of the model.      history: H.
    """

    columns: tuple[str, ...]
    positions: tuple[int, ...]
    units: Units
    history: int

    @classmethod
    def of(
        cls, lam: NormalisedVectorLam, info: DatasetInfo, names: Sequence[str]
    ) -> "VectorReader":
        """Raises UserError for data without the model's columns."""
        held = shared_columns([(info, info.spec(name), None) for name in names])
        missing = [name for name in lam.columns if name not in held]
        if missing:
            raise UserError(
                f"dataset {names[0]} in {info.path} has the columns {', '.join(held)}, and the model "
                f"reads {', '.join(lam.columns)}: {', '.join(missing)} missing; choose the data that it "
                "was trained on, or another checkpoint"
            )
        places = tuple(held.index(name) for name in lam.columns)
        return cls(lam.columns, places, lam.units, lam.history)

    def framed(
        self,
        read: Callable[[Sequence[range] | None], Iterator[Mapping[str, Any]]],
        spans: Sequence[range] | None,
        gap: int,
    ) -> Iterator[dict[str, Any]]:
        """Batches of `read(spans)` with `frames` float32 (B, 2, S, H, 1), the model's own.

        Args:
          read: batches of transitions `gap` apart in order of dataset, episode and time; None: all.

        The instants of a history are `gap` apart, as in training. Where a span begins, the rows
        before it are read too; before an episode began, its first instant stands.
        """
        ahead = (self.history - 1) * gap
        if spans is None or not ahead:
            past: dict[str, np.ndarray] = {}
            for batch in read(spans):
                frames, past = self._frames(batch, past, gap)
                yield {**batch, "frames": frames}
            return
        longer = [range(max(0, span.start - ahead), span.stop) for span in spans]
        batches = read(longer)
        for span, whole in zip(spans, longer, strict=True):
            row, past = whole.start, {}
            while row < whole.stop:
                batch = next(batches)
                frames, past = self._frames(batch, past, gap)
                row += len(frames)
                kept = slice(max(0, len(frames) - (row - span.start)), None)
                if row > span.start:
                    yield {k: v[kept] for k, v in {**batch, "frames": frames}.items()}

    def _frames(
        self, batch: Mapping[str, Any], past: Mapping[str, np.ndarray], gap: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(frames; the rows that the next batch may look back at)."""
        seen = self.units.of(np.asarray(batch["state"])[..., list(self.positions)], np)
        rows = {key: np.asarray(batch[key]) for key in _ORDER} | {"state": seen}
        if past:
            rows = {key: np.concatenate([past[key], rows[key]]) for key in rows}
        count, new = len(rows["t"]), len(seen)
        number = np.arange(count - new, count)
        instants = [rows["state"][number, 0]]
        for back in range(1, self.history):
            then = number - back * gap
            there = then >= 0
            for key in ("dataset", "episode"):
                there &= rows[key][then] == rows[key][number]
            there &= rows["t"][then] == rows["t"][number] - back * gap
            older = np.where(there[:, None], rows["state"][then, 0], instants[0])
            instants.insert(0, older)
        series = np.stack([*instants, rows["state"][number, 1]], -1)  # (B, S, H + 1)
        frames = np.stack([series[..., :-1], series[..., 1:]], 1)[..., None]
        kept = (self.history - 1) * gap
        return frames, {key: value[-kept:] for key, value in rows.items()} if kept else {}
