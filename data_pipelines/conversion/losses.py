"""How much of a source is missing, counted in episodes: what --max-failures is a share of.

A file that cannot be opened may hold one episode or a thousand, so what is skipped is weighed:

* an entry that knows its episodes counts as many;
* one that does not (a damaged file) counts as many as its size lets expect, or else as the items or
  files that could be read hold on average, less what was read of it before the damage, and at least
  one;
* an entry that knows its frames counts at least as many episodes of average length as they make:
  two hours of video among clips of ten seconds are not one episode of a hundred.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from data_pipelines.readers.recordings import Item, Plan, Skipped, failures


@dataclasses.dataclass(frozen=True)
class Loss:
    """lost of total episodes; `estimated` where some of the lost could not be counted."""

    lost: int
    total: int
    estimated: bool = False

    @property
    def share(self) -> float:
        return self.lost / self.total if self.total else 0.0


def allowed(share: float, total: int) -> int:
    """How many of `total` episodes may be lost: a lone one always may."""
    return max(1, int(share * total + 1e-9))


def weigh(skipped: Sequence[Skipped], kept: Mapping[str, int], frames: int) -> Loss:
    """What the failures in `skipped` lose; entries that the publisher rules out lose nothing.

    kept: name of each item -> how many of its recordings were kept; frames: of all of these.
    """
    failed = failures(skipped)
    recordings = sum(kept.values())
    names = {entry.name for entry in failed}
    whole = {name: count for name, count in kept.items() if count and name not in names}
    per_item = _mean(whole)
    per_file = _mean(_by_file(whole))
    per_recording = frames / recordings if recordings else 0.0
    lost, estimated = 0, False
    for entry in failed:
        count = entry.episodes
        if count is None:
            estimated = True
            mean = per_item if entry.name in kept else per_file
            count = max(1, (entry.about or mean) - kept.get(entry.name, 0))
        if entry.frames and per_recording:
            by_time = round(entry.frames / per_recording)
            estimated |= by_time > count
            count = max(count, by_time)
        lost += count
    return Loss(lost, recordings + lost, estimated)


def _by_file(kept: Mapping[str, int]) -> dict[str, int]:
    """Items are files, or "<file>:<key>"."""
    files: collections.Counter[str] = collections.Counter()
    for name, count in kept.items():
        files[name.rpartition(":")[0] or name] += count
    return dict(files)


def _mean(counts: Mapping[str, int]) -> int:
    return max(1, round(sum(counts.values()) / len(counts))) if counts else 1


def certain_loss(item: Item, kept: int, skipped: Sequence[Skipped]) -> int:
    """The least that the failures of one item can turn out to lose, `kept` being what it gave."""
    failed = failures(skipped)
    least = sum(1 if entry.episodes is None else entry.episodes for entry in failed)
    return least if item.episodes is None else min(least, max(0, item.episodes - kept))


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a job may lose, where that is known before anything is read.

    total: the most episodes that the source can turn out to hold. lost: by the plan alone. A job
    that has certainly lost more than allowed(share, total) fails in the end too: what else is read
    can only make the total smaller or the loss larger.
    """

    share: float
    total: int
    lost: int

    def exceeded(self, lost_by_bundles: int) -> bool:
        return self.lost + lost_by_bundles > allowed(self.share, self.total)

    def message(self, lost_by_bundles: int, failed: Sequence[Skipped]) -> str:
        lost = Loss(self.lost + lost_by_bundles, self.total)
        return too_many(lost, self.share, failed, at_least=True)


def expected_episodes(plan: Plan) -> int | None:
    """How many episodes the items of a plan hold; None where nobody knows before reading."""
    counts = [item.episodes for item in plan.items]
    if not plan.one_recording_per_item or None in counts:
        return None
    return sum(counts)


def budget(plan: Plan, share: float) -> Budget | None:
    """The budget of a plan; None where its items do not say how many episodes they hold."""
    expected = expected_episodes(plan)
    if expected is None:
        return None
    known = [1 if entry.episodes is None else entry.episodes for entry in failures(plan.skipped)]
    return Budget(share, expected + sum(known), sum(known))


def too_many(loss: Loss, share: float, failed: Sequence[Skipped], *, at_least: bool = False) -> str:
    """The message for a job that loses more than --max-failures allows."""
    count = f"{'at least ' if at_least else ''}{loss.lost}"
    text = (
        f"{count} of {'about ' if loss.estimated else ''}{loss.total} episodes "
        f"({100 * loss.share:.3g} %) cannot be used, more than --max-failures={share:g} allows"
    )
    return f"{text}{told(failed)}. Mend the source, or raise --max-failures"


def told(failed: Sequence[Skipped]) -> str:
    """'; first: <name>: <reason> (<detail>)', and how many of each reason there are."""
    if not failed:
        return ""
    first = failed[0]
    text = f"; first: {first.name}: {first.reason} ({first.detail})"
    reasons = collections.Counter(entry.reason for entry in failed)
    if len(failed) > 1:
        text += "; in all: " + ", ".join(f"{count} {name}" for name, count in reasons.most_common())
    return text
