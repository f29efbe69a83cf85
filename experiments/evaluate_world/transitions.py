"""What is read of a dataset: transitions of a split with their codes, and clips of any length.

Clips are put together from transitions, so that they may be longer than the windows that the records
of a dataset were cut for.

Dimension keys: P transitions of a split, N clips, L frames of a clip.
"""

import numpy as np

from experiments.lam_inputs import Source
from experiments.progress_bar import progress
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.collect import Split, collect
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.world.clips import Clips, clips_of
from flexlam_jax.loading.lam import LoadedLam

_MODEL = "lam"  # the name of the only model in a `Split`


def check_episodes(source: Source, split: str, context: int, horizon: int) -> None:
    """Raises UserError where no episode of a split has the frames of a clip; reads none of them."""
    needed = source.gap * (context + horizon - 1) + 1
    longest = max(
        episode["length"] for name in source.names for episode in source.info.episodes(name, split)
    )
    if longest < needed:
        raise UserError(
            f"no episode of the {split} split of {', '.join(source.names)} has the {needed} frames "
            f"of a clip ({context} to start from, {horizon} steps after them, gap {source.gap}; the "
            f"longest has {longest}); lower --horizon"
        )


def transitions(
    lam: LoadedLam,
    source: Source,
    split: str,
    *,
    actions: bool,
    state: bool = False,
    frames: int = 0,
) -> Split:
    """Codes of a split, its actions and state where asked for, and pairs of frames of about
    `frames` rows."""
    total = source.count(split)
    fields = ["codes", "action", "state", *(["frames"] if frames else [])]
    return collect(
        {_MODEL: lam},
        source.batches(split, actions=actions, state=state),
        {name: FIELDS[name] for name in fields},
        every=max(1, -(-total // frames)) if frames else 1,
        name=f"the {split} split",
        tick=progress(f"encode {split}", total),
    ).of(_MODEL)


def clips(
    lam: LoadedLam,
    source: Source,
    split: str,
    read: Split,
    *,
    count: int,
    context: int,
    horizon: int,
    actions: bool,
) -> Clips:
    """About `count` clips of context + horizon frames, evenly spread over the split.

    Args:
      split: one that `check_episodes` lets pass.
      read: all transitions of the split, as `transitions` gives them.
    """
    spans = _spans(read, source.gap, context + horizon - 1, count)
    frames, action, episode = [], [], []
    for span, batch in zip(spans, source.batches(split, actions=actions, spans=spans), strict=True):
        frames.append(np.concatenate([batch["frames"][:, 0], batch["frames"][-1:, 1]]))
        action.append(batch["action"][:, 0] if actions else None)
        episode.append(read.episode[span.start])
    return clips_of(
        lam,
        np.stack(frames),
        context,
        np.stack(action) if actions else None,
        np.array(episode),
    )


def _spans(read: Split, gap: int, steps: int, count: int) -> list[range]:
    """Numbers of the transitions of every clip: each begins where the one before it ends."""
    first = np.arange(max(0, len(read) - gap * (steps - 1)))
    last = first + gap * (steps - 1)
    whole = (read.episode[last] == read.episode[first]) & (
        read.t[last] - read.t[first] == gap * (steps - 1)
    )
    starts = first[whole]
    if not len(starts):
        return []
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int))
    return [range(start, start + gap * (steps - 1) + 1, gap) for start in starts[chosen].tolist()]
