"""What to measure of latent action models, and at which prefix lengths and label counts."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from flexlam_jax.evaluation.labels import ALL, Labels, count_of, name_of
from flexlam_jax.loading.perceptual import LoadedPerceptual


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
      budgets: prefix lengths k; () = powers of two up to K. Lengths that a model's training never
        drew are left out for that model.
      label_counts: labels per probe; a share (Fraction), or None = all, of the train split.
      draws: label draws (and probe seeds) per label count.
      seed: of label draws, shuffles and the choice of pictures.
      frames_every: decode every n-th test transition (all are encoded and probed).
      pictures: rows of the picture grid.
      clips: whole episodes to choose for clips.
      num_actions: size of a discrete action set; None reads it off the data.
      action_names: of a discrete action set, for the pictures.
      datasets: names of those that are measured; with several, probes are told for each.
      inverse_model: also fit a network to the pixels of both frames and all labels; see there.
      fit_frames_every: it is fitted on every n-th train transition.
      state_names: columns of the state, where batches hold it.
      exogenous_state: those that the agent does not control; with some, leakage is measured.
      masks: those that batches hold, of fields.MASKS; with some, errors are told inside of them.
      encoders: other encoders whose features batches hold; with some, leakage tells of them.
      perceptual: how far apart frames look, of loading/perceptual.py; None leaves that out.
    """

    budgets: tuple[int, ...] = ()
    label_counts: tuple[Labels, ...] = (64, 256, 1024, ALL)
    draws: int = 5
    seed: int = 0
    frames_every: int = 1
    pictures: int = 6
    clips: int = 0
    num_actions: int | None = None
    action_names: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    inverse_model: bool = False
    fit_frames_every: int = 1
    state_names: tuple[str, ...] = ()
    exogenous_state: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    perceptual: LoadedPerceptual | None = None

    def reported(self) -> dict[str, Any]:
        """The settings that a report tells; of the data's own it speaks elsewhere."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["label_counts"] = [
            count if count is ALL or isinstance(count, int) else name_of(count)
            for count in self.label_counts
        ]
        elsewhere = {"num_actions", "action_names", "datasets"}
        elsewhere |= {"state_names", "exogenous_state", "masks", "encoders", "perceptual", "clips"}
        if not self.inverse_model:
            elsewhere |= {"inverse_model", "fit_frames_every"}
        return {k: v for k, v in values.items() if k not in elsewhere}


def chosen_budgets(lam: Any, asked: Sequence[int]) -> tuple[int, ...]:
    """The prefix lengths to evaluate a model at: those asked for that its training drew.

    With none asked for: powers of two and the longest. A model none of whose lengths was asked for
    (a Fixed-K baseline) is shown at its own longest.
    """
    trained = tuple(lam.budgets)
    if asked:
        outside = [k for k in asked if not 0 <= k <= lam.slots]
        chosen = [k for k in asked if k in trained]
        if outside and len(trained) > 1:
            raise ValueError(f"budgets {outside} are outside 0..{lam.slots}, this model's slots")
    else:
        chosen = [k for k in trained if k in (0, trained[-1]) or k & (k - 1) == 0]
    return tuple(sorted(set(chosen))) or trained[-1:]


def usable_label_counts(counts: Sequence[Labels], available: int) -> tuple[list[int], list[int]]:
    """(counts that the train split can serve, ascending, ALL last; counts it cannot)."""
    numbers = sorted({count_of(count, available) for count in counts if count is not ALL})
    usable = [count for count in numbers if count < available]
    dropped = [count for count in numbers if count > available]
    if ALL in counts or available in numbers:
        usable.append(available)
    return usable, dropped
