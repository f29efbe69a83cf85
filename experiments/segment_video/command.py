"""Draws the skills that a model finds in videos: one page, and the boundaries as JSON.

    python -m experiments.segment_video --checkpoint=runs/skills --latents=latents --out=runs/segments \\
        [--data=DIR] [--datasets=…] [--split=validation] [--episodes=4]

OUT/gallery.html needs no network: episodes with the chunks of every stage, and the phases that the
data know; how long chunks are; chunks of like skills side by side. OUT/segmentation.json has the
boundaries of all episodes that were cut: those that are shown, and more, which lengths and likeness
are taken over.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import lam_inputs, provenance, skill_inputs
from experiments.progress_bar import progress
from experiments.segment_video.chunks import Episode, chunks_of, cut_episodes, spread
from experiments.segment_video.gallery import KINDS, Cut, facts, gallery, phases, summary
from experiments.skill_episodes import Episodes
from experiments.skill_inputs import SkillSource
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.tables import as_text

_INPUTS = skill_inputs.define_inputs()
_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_SPLIT = flags.DEFINE_string("split", "validation", "Split of the episodes.")
_EPISODES = flags.DEFINE_integer("episodes", 4, "Episodes that are shown.", lower_bound=1)

_GROUPS = 2  # of a dataset, of at most 64 episodes each, that are cut


def main(argv: Sequence[str]) -> None:
    del argv
    out = Path(output_folder.check(lam_inputs.text(_OUT), output_folder.SEGMENTATION))
    source = skill_inputs.open_source(_INPUTS)
    split = lam_inputs.text(_SPLIT)
    opened = {name: source.episodes(name, split) for name in source.data.names}
    with output_folder.Claim(out, output_folder.SEGMENTATION):
        episodes = segmented(source, opened, split)
        stages = [chunks_of(episodes, stage, KINDS) for stage in range(source.skills.stages)]
        cut = Cut(source.data.info, split, episodes, stages)
        made = provenance.made_by("experiments.segment_video")
        shown = spread(episodes, _EPISODES.value)
        write_atomically(out / "gallery.html", gallery(cut, shown, about(source), made))
        text = json.dumps(made | told(source, cut), indent=1) + "\n"
        write_atomically(out / "segmentation.json", text)
    print(as_text(summary(cut)))
    print(out / "gallery.html")


def segmented(source: SkillSource, opened: Mapping[str, Episodes], split: str) -> list[Episode]:
    """Episodes of every dataset of the split, evenly over its groups.

    Raises:
      UserError: none has two steps.
    """
    found = []
    tick = progress("episodes", sum(min(_GROUPS, len(one)) for one in opened.values()))
    for name, one in opened.items():
        for number in np.linspace(0, len(one) - 1, min(_GROUPS, len(one))).astype(int):
            group = one.group(int(number))
            found += cut_episodes(name, group.episodes, group.valid, group.segment(source.skills))
            tick()
    found = [one for one in found if one.steps > 1]
    if not found:
        raise UserError(f"no episode of split {split!r} has two transitions; name another --split")
    return found


def about(source: SkillSource) -> list[str]:
    """What the page begins with."""
    skills = source.skills
    targets = " and ".join(f"{target:g}" for target in skills.config["model"]["targets"])
    return [
        f"Skills of training step {skills.step}, in stages asked for {targets} positions per chunk. "
        "A skill is that of its chunk's first step and knows nothing of what comes later."
    ]


def told(source: SkillSource, cut: Cut) -> dict[str, Any]:
    """segmentation.json, without how it was made."""
    skills = source.skills
    episodes = [
        {
            "dataset": one.dataset,
            "episode": one.number,
            "steps": one.steps,
            "boundaries": [starts.tolist() for starts in one.starts],
            "kinds": [chunks.kinds_of(place) for chunks in cut.stages],
            "phases": phases(cut, one),
        }
        for place, one in enumerate(cut.episodes)
    ]
    return {
        "format": 1,
        "kind": "segmentation",
        "model": skills.fingerprint(),
        "step": skills.step,
        "lam": {key: skills.lam[key] for key in ("step", "fingerprint")},
        "data": source.data.identity(),
        "split": cut.split,
        "stages": [facts(chunks) for chunks in cut.stages],
        "episodes": episodes,
    }
