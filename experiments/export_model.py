"""Writes a model as files that run without this package: StableHLO by jax.export.

    python -m experiments.export_model --checkpoint=runs/doom --out=export \\
        [--step=…] [--platforms=cpu,cuda,tpu] [--batch=8] [--draws=16] \\
        [--sampling_steps=…] [--sentences=FILE]

OUT/<function>.jaxexport is one pure function with the parameters inside; OUT/export.json says what
each reads and gives, and of which model. A program with jax and flatbuffers calls them:
docs/export.md.
"""

import os

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    # Functions are traced, not run, and kernels are chosen by the host: those that all have.
    os.environ["JAX_PLATFORMS"] = "cpu"
    process.start()

from absl import flags

from experiments import cli, lam_inputs
from experiments.sentence_file import read_sentences
from flexlam_jax import output_folder
from flexlam_jax.serving.artefacts import check_packages, write_export
from flexlam_jax.serving.functions import PLATFORMS, ExportSettings
from flexlam_jax.serving.kinds import EXPORTERS, exported_of

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, f"Run of one of these kinds: {', '.join(EXPORTERS)}."
)
_STEP = flags.DEFINE_integer("step", None, "Training step; the newest if not given.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to.")
_PLATFORMS = flags.DEFINE_list(
    "platforms", list(ExportSettings.platforms), f"What it is to run on, of {', '.join(PLATFORMS)}."
)
_BATCH = flags.DEFINE_integer(
    "batch", None, "Rows of every call; if not given, the caller chooses.", lower_bound=1
)
_DRAWS = flags.DEFINE_integer(
    "draws",
    ExportSettings.draws,
    "Latent actions that a token policy draws at once.",
    lower_bound=1,
    upper_bound=4096,
)
_STEPS = flags.DEFINE_integer(
    "sampling_steps", None, "Steps in which dynamics sample a frame; their own if not given."
)
_SENTENCES = flags.DEFINE_string(
    "sentences", "", "File of the sentences that a policy will be told, one per line."
)
flags.mark_flags_as_required(["checkpoint", "out"])


def main(argv):
    del argv
    checkpoint = lam_inputs.text(_CHECKPOINT)
    settings = ExportSettings(
        platforms=tuple(lam_inputs.listed(_PLATFORMS)),
        batch=_BATCH.value,
        draws=_DRAWS.value,
        steps=_STEPS.value,
        sentences=read_sentences(_SENTENCES.value),
    )
    check_packages()
    output_folder.check(_OUT.value, output_folder.EXPORT)
    found, source = exported_of(checkpoint, _STEP.value, settings)
    with output_folder.Claim(_OUT.value, output_folder.EXPORT) as out:
        write_export(out, found, source, settings, report=print)


if __name__ == "__main__":
    cli.run(main)
