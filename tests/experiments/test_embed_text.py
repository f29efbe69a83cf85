"""Sentences by a pretrained encoder: the command that makes their table, and policies that read it."""

import dataclasses
import shutil
import sys
import types

import numpy as np
import pytest
from ml_collections import ConfigDict

import flexlam_jax
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.simulator import Simulator, TaskSpec
from experiments.data_sentences import folder_sentences
from experiments.embed_text.encoder import open_encoder
from experiments.embed_text.table import add_sentences
from experiments.evaluate_policy.levels import Player, fit
from experiments.policy_batches import policy_batches
from experiments.tasks.registry import build_task, check_config
from experiments.train import train
from flexlam_jax.errors import CheckpointError, DamagedFile, UserError
from flexlam_jax.models.text_features import HashedNgrams
from flexlam_jax.models.text_table import FILE
from flexlam_jax.models.text_table_file import read_table, write_table
from tests.experiments import tiny_policy
from tests.experiments.command_lines import run_lines

pytestmark = pytest.mark.usefixtures("shared_compilations")


class Parameter:
    """As much of a tensor as is asked for."""

    def __init__(self, value):
        self.numpy = lambda: np.full(3, value, np.float32)
        self.detach = self.float = lambda: self


class StandIn:
    """As much of a SentenceTransformer as is asked for; vectors that case changes, 16 wide."""

    parameter, scale = 0.5, 1.0

    def __init__(self, folder, **options):
        StandIn.options = options
        if not (options["local_files_only"] and options["model_kwargs"]["use_safetensors"]):
            raise AssertionError("it may fetch or unpickle")
        if "broken" in folder:
            raise OSError("no file named model.safetensors\nfound in directory")

    def eval(self):
        return self

    def named_parameters(self):
        return [("weight", Parameter(self.parameter))]

    def encode(self, sentences, **options):
        assert all(sentence == sentence.lower() for sentence in sentences)
        return self.scale * HashedNgrams(width=16).features(sentences).astype(np.float64)


@pytest.fixture
def library(monkeypatch):
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer, module.__version__ = StandIn, "5.0"
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return monkeypatch


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("encoder") / "tiny")


def folder_of(folder):
    folder.mkdir()
    (folder / "modules.json").write_text("[]")
    return str(folder)


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return tiny_policy.demonstrations(tmp_path_factory.mktemp("told"))


def add(out, sentences, encoder):
    return add_sentences(str(out), sentences, lambda: open_encoder(encoder))


def test_a_table_is_written_and_added_to(library, encoder, tmp_path):
    out = tmp_path / "new" / "a.npz"
    told = add(out, ["Open it.", "open it", "close it"], encoder)
    assert f"{out}: 2 sentences of 16 numbers, 2 of them new, by tiny (" in told
    table = read_table(out)
    assert table.sentences == ("open it", "close it") and table.encoder == "tiny"
    assert "sentence_transformers 5.0" in table.versions and len(table.fingerprint) == 64
    expected = HashedNgrams(width=16).features(table.sentences)
    np.testing.assert_allclose(table.vectors, expected, atol=1e-6)

    def never():
        raise AssertionError("the encoder is not needed")

    assert "all 2 sentences are there" in add_sentences(str(out), ["close it", "OPEN IT"], never)
    assert "3 sentences of 16 numbers, 1 of them new" in add(out, ["close it", "push it"], encoder)
    more = read_table(out)
    np.testing.assert_array_equal(more.vectors[:2], table.vectors)
    assert more.sentences[2] == "push it" and more.fingerprint == table.fingerprint


def test_vectors_of_different_encoders_are_not_mixed(library, encoder, tmp_path):
    out = tmp_path / "a.npz"
    add(out, ["open it"], encoder)
    before = out.read_bytes()
    library.setattr(StandIn, "scale", 1.01)
    with pytest.raises(
        UserError, match="written with sentence_transformers 5.0.*other vectors of the"
    ):
        add(out, ["push it"], encoder)
    library.setattr(StandIn, "parameter", 0.6)
    with pytest.raises(
        UserError, match="holds vectors of tiny .*, and --encoder is tiny .*another --out"
    ):
        add(out, ["push it"], encoder)
    library.setattr(StandIn, "scale", np.nan)
    with pytest.raises(UserError, match="numbers that are not finite"):
        add(tmp_path / "b.npz", ["push it"], encoder)
    assert out.read_bytes() == before
    out.write_text("mine")
    with pytest.raises(DamagedFile, match="no table of sentences"):
        add(out, ["push it"], encoder)
    assert out.read_text() == "mine"
    with pytest.raises(UserError, match="these flags say no sentence"):
        add(tmp_path / "b.npz", ["", " . "], encoder)


def test_folders_that_cannot_be_opened(library, encoder, tmp_path):
    with pytest.raises(
        UserError, match="holds no modules.json.*Nothing is fetched here: where there"
    ):
        open_encoder(str(tmp_path))
    with pytest.raises(
        UserError, match="sentence-transformers 5.0: no file named model.safetensors;"
    ):
        open_encoder(folder_of(tmp_path / "broken"))
    pickle = tmp_path / "broken" / "2_Dense" / "pytorch_model.bin"
    pickle.parent.mkdir()
    pickle.touch()
    with pytest.raises(UserError, match=f"{pickle} is a pickle"):
        open_encoder(str(tmp_path / "broken"))
    library.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r"cannot be imported.*pip install 'flexlam_jax\[text\]'"):
        open_encoder(encoder)


def test_the_command(library, encoder, demos, tmp_path):
    """By a table that lacks nothing, as the library need not be here."""
    out, file = tmp_path / "a.npz", tmp_path / "file.txt"
    file.write_text("Wait.\n\n")
    add(out, [*tiny_policy.SENTENCES, "wait"], encoder)
    given = [f"--encoder={encoder}", f"--out={out}"]
    lines = [
        [*given, f"--data={demos}", f"--sentences={file}"],
        given,
        [*given, "--perturbation=lan"],
        [*given, "--suite=libero_goal"],
        [f"--encoder={tmp_path}", f"--out={tmp_path / 'b.npz'}", f"--data={demos}"],
        [*given, f"--data={tmp_path}"],
    ]
    results = run_lines("embed_text.command", lines)
    messages = (
        "all 3 sentences are there",
        "no sentences: give --data=DIR, --suite=NAME or",
        "--perturbation is for the tasks of a suite",
        "give --protocol, one of official",
        "holds no modules.json",
        "no manifest",
    )
    for (code, out, error, _), message in zip(results, messages, strict=True):
        assert message in out + error and "Traceback" not in error, error
        assert code == (1 if error else 0)


@pytest.fixture(scope="module")
def trained(demos, encoder, tmp_path_factory):
    """(folder, config) of a run of two updates that reads a table, and of the table."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        module = types.ModuleType("sentence_transformers")
        module.SentenceTransformer, module.__version__ = StandIn, "5.0"
        patch.setitem(sys.modules, "sentence_transformers", module)
        add(folder / "a.npz", folder_sentences(demos), encoder)
    config = tiny_policy.flat(demos)
    config.model.text = ConfigDict(dict(kind="table", path=str(folder / "a.npz")))
    config.optimizer.schedule = "constant"
    config.total_steps = 2
    check_config(config)
    train(config, folder / "run")
    return folder, config


def decided(policy, sentence):
    frames = {name: np.zeros((1, 16, 16, 3), np.uint8) for name in policy.cameras}
    return policy.decide(frames, np.zeros((1, 9)), [sentence])


def test_a_policy_carries_its_table(trained, demos):
    folder, config = trained
    table = read_table(folder / "a.npz")
    assert sorted(table.sentences) == sorted(tiny_policy.SENTENCES)  # and no names of tasks
    policy = flexlam_jax.load(folder / "run")
    saved = policy.config["model"]["text"]
    assert saved == {
        "kind": "table",
        "path": str(folder / "a.npz"),
        "width": 16,
        "encoder": table.fingerprint,
    }
    one, other = (decided(policy, sentence) for sentence in tiny_policy.SENTENCES)
    assert np.abs(one - other).max() > 0
    batches = policy_batches(config, "train", seed=0, batch_size=8, rows=range(8))
    texts = np.unique(next(batches)["text"], axis=0)
    batches.close()
    assert {*map(bytes, texts)} <= {*map(bytes, table.vectors)}


def copy_of(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_sentence_that_it_was_not_told(library, trained, encoder, tmp_path):
    """Its checkpoints alone are enough, and its table can be added to."""
    run = copy_of(trained[0], tmp_path)
    steps, known = run / "checkpoints", tiny_policy.SENTENCES[0]
    policy = flexlam_jax.load(steps)
    before = decided(policy, known.upper())
    with pytest.raises(UserError, match=f"{steps / FILE} has no vector of the sentence 'wait'"):
        decided(policy, "Wait")
    action = ActionSpec("continuous", policy.action_names)
    tasks = {"pause": TaskSpec("pause", action, policy.proprio_names, 10.0, language="Wait.")}
    with pytest.raises(UserError, match="no vector of the sentence 'wait'"):
        fit(Player((policy,), {}), Simulator, tasks)  # before anything is played
    add(steps / FILE, ["wait"], encoder)
    policy = flexlam_jax.load(steps)
    assert decided(policy, "Wait").shape == (1, 3, 7)
    np.testing.assert_array_equal(decided(policy, known), before)


def test_a_table_that_is_gone_or_of_another_encoder(library, trained, encoder, tmp_path):
    folder, config = trained
    own = copy_of(folder, tmp_path) / "checkpoints" / FILE
    own.unlink()
    with pytest.raises(CheckpointError) as error:
        flexlam_jax.load(tmp_path / "run")
    told = str(error.value)
    assert f"beside its steps: the table of sentences {own} cannot be read" in told
    assert f"that of the training was {folder / 'a.npz'}" in told
    library.setattr(StandIn, "parameter", 0.6)
    add(own, tiny_policy.SENTENCES, encoder)
    with pytest.raises(CheckpointError, match="holds vectors of another encoder .tiny, "):
        flexlam_jax.load(tmp_path / "run")


def test_a_run_goes_on_by_the_same_vectors_only(trained, tmp_path):
    """Wherever its table lies, and whatever was added to it."""
    folder, config = trained
    hashes, table = build_task(config).data_hashes(), read_table(folder / "a.npz")
    config = ConfigDict(config.to_dict())
    config.model.text.path = str(tmp_path / "moved.npz")
    write_table(tmp_path / "moved.npz", table.with_rows(["wait"], table.vectors[:1]))
    assert build_task(config).data_hashes() == hashes
    write_table(tmp_path / "moved.npz", dataclasses.replace(table, vectors=-table.vectors))
    changed = build_task(config).data_hashes()
    assert {name for name in hashes if hashes[name] != changed[name]} == {"sentences"}


def test_sentences_of_the_data_that_a_table_lacks_are_told_at_once(trained, tmp_path):
    folder, config = trained
    table = read_table(folder / "a.npz")
    config = ConfigDict(config.to_dict())
    config.model.text.path = str(tmp_path / "b.npz")
    with pytest.raises(UserError, match="b.npz cannot be read"):
        build_task(config)
    fewer = dataclasses.replace(table, sentences=table.sentences[:1], vectors=table.vectors[:1])
    write_table(tmp_path / "b.npz", fewer)
    with pytest.raises(
        UserError, match=f"no vector of the sentence '{table.sentences[1]}'; `python"
    ):
        build_task(config)
    config.data.path = ""  # on paper
    assert build_task(config).batch["text"].shape == (8, 384)
