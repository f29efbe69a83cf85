"""Writes the skills of whole datasets, for policies that predict or read them.

    python -m experiments.extract_skills --checkpoint=runs/skills --latents=latents --out=skills \\
        [--data=DIR] [--datasets=…] [--splits=train,validation] [--stage=2] [--cuts=learned]

OUT/<dataset>/<split>/ is a sidecar (docs/data/loading.md), data.sidecars.skill=OUT of a policy:
skill float32 (N, W), the skill that a step belongs to, and boundary uint8 (N,), 1 at the first step
of every chunk, one row per transition in the order of the dataset. Every episode is read from its
first step, and a skill is that of the chunk's first step: it knows nothing of what comes later.

--cuts=equal, random or jump cuts every episode into as many chunks as the skills do, at other
places; the vectors there are those of the same encoder (flexlam_jax/evaluation/cuts.py).

Killed, the same command goes on with the blocks that are missing or damaged.
"""

from pathlib import Path

from absl import flags

from experiments import lam_inputs, skill_inputs
from experiments.extract_skills.skills import CUTS, LEARNED, Wanted
from experiments.extract_skills.writing import extract, write_manifest
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.loading.hilam import LoadedHiLam

_INPUTS = skill_inputs.define_inputs()
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_SPLITS = flags.DEFINE_list("splits", [], "Splits; default those that --latents has.")
_STAGE = flags.DEFINE_integer(
    "stage", None, "Whose skills, the outer is 1; default the last.", lower_bound=1
)
_CUTS = flags.DEFINE_enum("cuts", LEARNED, CUTS, "Where chunks begin.")
_SEED = lam_inputs.define_seed("Of --cuts=random.")


def main(argv):
    del argv
    out = Path(output_folder.check(_OUT.value, output_folder.SKILLS))
    splits = lam_inputs.listed(_SPLITS)
    source = skill_inputs.open_source(_INPUTS)
    wanted = Wanted(stage_of(source.skills, _STAGE.value), _CUTS.value, _SEED.value)
    places = [
        (name, split)
        for name in source.data.names
        for split in skill_inputs.splits_of(source, name, splits)
    ]
    opened = {place: source.episodes(*place) for place in places}
    tell_lengths(source.skills, max(int(one.counts.max(initial=0)) for one in opened.values()))
    with output_folder.Claim(out, output_folder.SKILLS):
        made_by = write_manifest(out, source, wanted)
        written = sum(
            extract(out, source, episodes, *place, wanted, made_by)
            for place, episodes in opened.items()
        )
    print(f"{out}: {written} transitions in {len(places)} splits")


def stage_of(skills: LoadedHiLam, given: int | None) -> int:
    """The stage, the last by default; raises UserError for one that there is not."""
    if (given or 1) > skills.stages:
        raise UserError(f"--stage={given}, but these skills have {skills.stages} stages")
    return given or skills.stages


def tell_lengths(skills: LoadedHiLam, longest: int) -> None:
    """Says where episodes are longer than what was trained on."""
    trained = skills.config["data"]["column_chunk"]
    if longest > trained:
        print(
            f"note: episodes have up to {longest} steps, and these skills were trained on {trained} "
            "at a time (config.data.column_chunk); beyond them nothing was learned"
        )
