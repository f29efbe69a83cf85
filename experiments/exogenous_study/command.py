"""How much of a latent action is not the agent's doing, and which remedy helps, on ViZDoom video.

    python -m experiments.exogenous_study --out=runs/exogenous [--fast] [--seeds=0,1,2] \\
        [--strengths=0,0.4,0.5] [--remedied=0.4,0.5] [--remedies=plain,mask,cross,labels,…] [--jobs=2]

Records sticky play once for every strength of the distractors, the same play with two exogenous
processes; trains plain FlexLAM at every strength and with every remedy at those of --remedied; then
measures, of all models of a seed and strength side by side, what each prefix and slot carries of the
action and of the distractors, and the rows that need no labels. results.md, results.json, results.csv
and figure.svg come at the end, in --out: accuracy and leakage by prefix, what of the accuracy without
distractors is recovered, and how well each row without labels ranks all of these models. Killed, the
same command goes on; with more seeds, strengths or remedies it adds them to what is there.

See docs/exogenous/pixels.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_pipelines.distractors.composite import KINDS
from data_pipelines.simulators.doom.game import Doom
from experiments import lam_inputs
from experiments.exogenous_study.pieces import Settings, pieces
from experiments.exogenous_study.remedies import PLAIN, REMEDIES
from experiments.exogenous_study.results import write_results
from experiments.pieces import study_flags
from experiments.pieces.config_flags import with_variants
from experiments.pieces.runner import Runner
from experiments.preset_flag import read_preset
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.labels import read_labels
from flexlam_jax.files import write_atomically
from flexlam_jax.models.bottleneck import trained_budgets
from flexlam_jax.models.lam import frame_shape

_OUT = flags.DEFINE_string("out", None, "Folder for everything.", required=True)
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: every stage, nothing is learned.")
_CONFIG = flags.DEFINE_string("config", "experiments/configs/exogenous.py", "Preset of the LAM.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Training seeds.")
_STRENGTHS = flags.DEFINE_list(
    "strengths", ["0", "0.4", "0.5"], "Of the distractors, 0 to 1; with 0 nothing of them shows."
)
_REMEDIED = flags.DEFINE_list(
    "remedied", [], "The strengths at which remedies are trained; default all above 0."
)
_REMEDIES = flags.DEFINE_list(
    "remedies",
    ["plain", "mask", "ordered_cross"],  # An hour of two cores has no room for all of them.
    "What is trained beside plain: "
    + "; ".join(f"{one.name}: {one.about}" for one in REMEDIES)
    + ".",
)
_DISTRACTORS = flags.DEFINE_list("distractors", ["sprites", "agent"], f"Any of {', '.join(KINDS)}.")
_TASK = flags.DEFINE_string("task", "health_gathering", "Scenario of prepare doom.")
_TRANSITIONS = flags.DEFINE_integer(
    "transitions", 12_000, "That are recorded of it.", lower_bound=100
)
_LABELS = flags.DEFINE_string(
    "labels", "5%", "Share of the transitions whose actions remedies with labels are told."
)
_BUDGETS = flags.DEFINE_list("budgets", ["1", "2", "4"], "Prefix lengths.")
_SPLIT = flags.DEFINE_string("split", "test", "Split that is measured.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Commands side by side.", lower_bound=1)

# What --fast takes where no flag says otherwise.
_SMALL = {
    "seeds": ["0"],
    "strengths": ["0", "1"],
    "remedies": ["plain", "ordered_cross"],
    "transitions": 400,
    "labels": "16",
}


def main(argv: Sequence[str]) -> None:
    del argv
    settings = settings_of_flags()
    out = output_folder.check(settings.out, output_folder.EXOGENOUS)
    with output_folder.Claim(out, output_folder.EXOGENOUS):
        text = json.dumps({"kind": output_folder.EXOGENOUS.name, **settings.told()}, indent=1)
        write_atomically(settings.out / "settings.json", text + "\n")
        every = pieces(settings)
        runner = Runner(every, settings.out, _JOBS.value)
        print(f"{len(every)} pieces, {len(runner.finished())} of them finished before")
        runner.run(every, lambda piece: None)
        write_results(runner, every, settings)


def settings_of_flags() -> Settings:
    """What the flags ask for.

    Raises:
      ConfigError, UserError: what does not exist, or cannot be compared.
    """
    strengths = _strengths(_STRENGTHS)
    above = tuple(one for one in strengths if one) or strengths
    remedied = _strengths(_REMEDIED) if _REMEDIED.value else above
    if missing := [one for one in remedied if one not in strengths]:
        raise UserError(
            f"--remedied={missing[0]:g} is none of --strengths, "
            f"{', '.join(f'{one:g}' for one in strengths)}"
        )
    config = with_variants(_CONFIG.value, ["debug"] if _FAST.value and not _CONFIG.present else [])
    return Settings(
        out=Path(lam_inputs.text(_OUT)).expanduser().absolute(),
        config=config,
        task=_task(),
        transitions=study_flags.given(_TRANSITIONS, _small()),
        size=_size(config),
        distractors=_distractors(),
        strengths=strengths,
        remedied=remedied,
        seeds=study_flags.ascending(_SEEDS, 0, _small()),
        remedies=_remedies(),
        labels=_labels(),
        budgets=_budgets(config),
        split=_SPLIT.value,
    )


def _small() -> study_flags.Small:
    return _SMALL if _FAST.value else {}


def _strengths(flag: flags.FlagHolder) -> tuple[float, ...]:
    """Ascending, each once."""
    texts = study_flags.given(flag, _small())
    try:
        found = sorted({float(text) for text in texts})
    except ValueError:
        found = []
    if not found or not 0 <= found[0] <= found[-1] <= 1:
        raise UserError(f"--{flag.name}={','.join(texts)}: give numbers from 0 to 1")
    return tuple(found)


def _task() -> str:
    tasks = Doom.tasks()
    if _TASK.value not in tasks:
        raise UserError(f"--task={_TASK.value}: prepare doom has {', '.join(tasks)}")
    return f"{_TASK.value}_sticky"


def _size(config: str) -> int:
    height, width = frame_shape(read_preset(config).model)[:2]
    if height != width:
        raise UserError(
            f"--config={config} reads {height}x{width} pixels; give one of square frames"
        )
    return height


def _distractors() -> tuple[str, ...]:
    names = lam_inputs.listed(_DISTRACTORS)
    study_flags.check_names(_DISTRACTORS, names, list(KINDS))
    if not names:
        raise UserError(f"--distractors is empty; give some of {', '.join(KINDS)}")
    return tuple(name for name in KINDS if name in names)


def _remedies():
    names = study_flags.given(_REMEDIES, _small())
    study_flags.check_names(_REMEDIES, names, [one.name for one in REMEDIES])
    return tuple(one for one in REMEDIES if one.name in {PLAIN, *names})


def _labels() -> str:
    text = study_flags.given(_LABELS, _small())
    try:
        read_labels(text)
    except ValueError as error:
        raise UserError(f"--labels={text}: {error}") from error
    return text


def _budgets(config: str) -> tuple[int, ...]:
    budgets = study_flags.ascending(_BUDGETS, 1)
    trained = trained_budgets(read_preset(config).model)
    if never := [k for k in budgets if k not in trained]:
        raise UserError(
            f"--budgets: a LAM by --config={config} is trained at {', '.join(map(str, trained))} "
            f"slots, never at {', '.join(map(str, never))}"
        )
    return budgets
