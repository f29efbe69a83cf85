"""Writes what a pretrained encoder makes of sentences, for policies that read them.

    python -m experiments.embed_text --data=data/libero --encoder=all-MiniLM-L6-v2 --out=sentences.npz
    python -m experiments.embed_text --suite=libero_goal --protocol=openvla --perturbation=lan \\
        --encoder=all-MiniLM-L6-v2 --out=sentences.npz

The sentences are those of the episodes of dataset folders, those that a suite of evaluate_policy says
by a protocol, and the lines of a file. A table that is there gets what it lacks and keeps the rest.
config.model.text.kind=table and config.model.text.path=sentences.npz read it (docs/policies.md).

The encoder is a folder of sentence-transformers, with its parameters in safetensors. Nothing is
fetched, and nothing is unpickled.
"""

from collections.abc import Sequence

from absl import flags

from data_pipelines.simulators.libero.package import PERTURBATIONS
from experiments import lam_inputs
from experiments.data_sentences import folder_sentences
from experiments.embed_text.encoder import open_encoder
from experiments.embed_text.table import add_sentences
from experiments.evaluate_policy.suites import open_suite
from experiments.sentence_file import read_sentences
from flexlam_jax.errors import UserError

_DATA = flags.DEFINE_list("data", [], "Dataset folders, whose episodes say sentences.")
_SUITE = flags.DEFINE_string(
    "suite", "", "Suite of experiments.evaluate_policy, whose tasks say sentences."
)
_PROTOCOL = flags.DEFINE_string("protocol", "", "With --suite: as evaluate_policy takes it.")
_PERTURBATION = flags.DEFINE_enum(
    "perturbation", None, PERTURBATIONS, "With --suite: as evaluate_policy takes it."
)
_TASKS = flags.DEFINE_list("tasks", [], "With --suite: of its tasks; default all.")
_SENTENCES = flags.DEFINE_string("sentences", "", "File of sentences, one per line.")
_ENCODER = flags.DEFINE_string("encoder", None, "Folder of the encoder.", required=True)
_OUT = flags.DEFINE_string("out", None, "File to write, or to add to.", required=True)


def main(argv: Sequence[str]) -> None:
    del argv
    encoder, out = lam_inputs.text(_ENCODER), lam_inputs.text(_OUT)
    print(add_sentences(out, sentences(), lambda: open_encoder(encoder)))


def sentences() -> list[str]:
    """Those that the flags say.

    Raises:
      UserError, DataError: no flag that says some; folders, suites and files that do not.
    """
    folders, suite = lam_inputs.listed(_DATA), lam_inputs.text(_SUITE)
    for flag in (_PROTOCOL, _PERTURBATION, _TASKS):
        if flag.present and not suite:
            raise UserError(f"--{flag.name} is for the tasks of a suite; give --suite=NAME too")
    if not (folders or suite or _SENTENCES.present):
        raise UserError("no sentences: give --data=DIR, --suite=NAME or --sentences=FILE")
    said = [one for folder in folders for one in folder_sentences(folder)]
    if suite:
        played = open_suite(
            suite,
            _PROTOCOL.value,
            lam_inputs.listed(_TASKS),
            perturbation=_PERTURBATION.value or "",
        )
        said += [task.language for task in played.tasks.values()]
    return [*said, *read_sentences(lam_inputs.text(_SENTENCES))]
