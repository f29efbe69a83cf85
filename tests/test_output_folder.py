"""Where a command may write: new, empty, or its own. Everything else stays as it is."""

import fcntl
import json
import os
import pathlib
import subprocess
import sys

import pytest

from flexlam_jax import output_folder
from flexlam_jax.errors import WorkdirError
from flexlam_jax.output_folder import (
    EXPERT,
    LATENTS,
    PLAYED,
    REPORT,
    RUN,
    SEGMENTATION,
    SKILL_STUDY,
    SKILLS,
    TRANSLATOR,
    Claim,
    check,
)

KINDS = {
    kind.name: kind
    for kind in (
        RUN,
        REPORT,
        TRANSLATOR,
        LATENTS,
        SKILLS,
        SEGMENTATION,
        SKILL_STUDY,
        EXPERT,
        PLAYED,
    )
}
# What each kind of folder held in early versions, and what a dataset folder holds.
START = {"argv": [], "versions": {}, "devices": "1 x cpu"}
CONFIG = {"seed": 0, "total_steps": 1, "optimizer": {}, "mesh": {}, "log": {}, "model": {}}
OURS = {
    "run": {"config.json": CONFIG, "run.json": {"starts": [START]}},
    "report": {"report.json": dict.fromkeys(("title", "summary", "run", "models", "data"))},
    "translator": {"config.json": {"kind": "translator", "slots": 3, "outputs": 2, "lam": {}}},
    "latents": {
        "manifest.json": dict.fromkeys(("format", "model", "gap", "data", "slots", "null", "files"))
    },
    "skills": {
        "manifest.json": {"kind": "skills", "model": "", "lam": "", "stage": 1, "cuts": "equal"}
    },
    "skill_study": {
        "settings.json": {"kind": "skill_study", "changes": [], "sequences": "planted"}
    },
    "played": {"settings.json": {"kind": "played", "checkpoint": "runs/doom"}},
    "expert": {"settings.json": {"kind": "expert", "simulator": {}, "replays": 3}},
    "segmentation": {
        "segmentation.json": {"kind": "segmentation", "model": "", "stages": [], "episodes": []}
    },
}
DATASET = {"manifest.json": {"format_version": 1, "datasets": {}, "splits": {}}}


def fill(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def content(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_claim_makes_the_folder_and_keeps_others_out(tmp_path, kind):
    folder = tmp_path / "new" / "ü ber"
    with Claim(folder, kind) as claimed:
        assert claimed.is_dir()
        for enter in (lambda: check(folder, kind), Claim(folder, kind).__enter__):
            with pytest.raises(WorkdirError, match=rf"in use by pid {os.getpid()} on [^,]+; wait"):
                enter()
    with Claim(folder, TRANSLATOR):  # Nothing was written: it belongs to nobody.
        pass


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("there", OURS)
def test_only_folders_of_the_same_kind_are_ours(tmp_path, kind, there):
    folder = fill(tmp_path / "there", OURS[there])
    before = content(folder)
    if kind.name == there:
        with Claim(folder, kind):
            pass
        assert check(folder, kind) == folder
    else:
        for enter in (lambda: check(folder, kind), Claim(folder, kind).__enter__):
            with pytest.raises(WorkdirError) as refused:
                enter()
        assert KINDS[there].noun in str(refused.value) and content(folder) == before


FOREIGN = {
    "a dataset": DATASET,
    "a git checkout": {".git": "gitdir: elsewhere"},
    "photo.jpg, thesis.tex": {"photo.jpg": "", "thesis.tex": ""},
    "a0, a1, a2, a3, a4 and 5 more": {f"a{i}": "" for i in range(10)},
    "metrics.jsonl": {"metrics.jsonl": '{"step": 3}\n'},
    "config.json": {"config.json": {"seed": 0, "model": {}}, "run.json": {"starts": [START]}},
    "report.json": {"report.json": {"title": "mine"}, "report.html": ""},
    "manifest.json": {"manifest.json": "[1, 2]"},
    ".lock": {".lock": "somebody's own"},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("told", FOREIGN)
def test_foreign_folders_are_refused_and_nothing_changes(tmp_path, kind, told):
    folder = fill(tmp_path / "foreign", FOREIGN[told])
    before = content(folder)
    for enter in (lambda: check(folder, kind), Claim(folder, kind).__enter__):
        with pytest.raises(WorkdirError) as refused:
            enter()
    assert told in str(refused.value) and f"give {kind.flag}" in str(refused.value)
    assert "delete" not in str(refused.value) and content(folder) == before


def test_what_systems_leave_in_empty_folders_is_no_content(tmp_path):
    fill(tmp_path, {".DS_Store": "\0", ".lock": ""})
    (tmp_path / "lost+found").mkdir()
    with Claim(tmp_path, LATENTS):
        pass


def test_the_lock_proves_the_folder_of_a_killed_writer(tmp_path):
    code = (
        "import os, signal, sys; from flexlam_jax.output_folder import *\n"
        "with Claim(sys.argv[1], TRANSLATOR) as folder:\n"
        "    (folder / 'params').mkdir(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": os.getcwd()})
    assert (tmp_path / "params").is_dir()
    with pytest.raises(WorkdirError, match="holds params, not latent actions"):
        check(tmp_path, LATENTS)
    with Claim(tmp_path, TRANSLATOR):
        pass


def test_writers_that_share_a_folder_shut_out_all_others(tmp_path):
    folder = tmp_path / "out"
    with Claim(folder, LATENTS, shared=True) as first:
        with Claim(folder, LATENTS, shared=True):
            fill(folder, OURS["latents"])
            with pytest.raises(WorkdirError, match="is in use by pid"):
                Claim(folder, LATENTS).__enter__()
        assert (first / ".lock").is_file()  # The one that is left still holds it.
        with pytest.raises(WorkdirError, match="is in use by pid"):
            Claim(folder, LATENTS).__enter__()
    assert not (folder / ".lock").exists()


def test_who_shares_waits_for_no_one_who_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(output_folder, "_PATIENCE", 0.0)
    with Claim(tmp_path, LATENTS):
        with pytest.raises(WorkdirError, match="is in use by pid"):
            Claim(tmp_path, LATENTS, shared=True).__enter__()


def test_runs_of_early_versions_without_run_json(tmp_path):
    fill(tmp_path, {"config.json": CONFIG, ".lock": "pid 3 on host"})
    with Claim(tmp_path, RUN):
        pass


@pytest.mark.parametrize(
    "files, stays", [({}, False), (OURS["translator"], False), ({"params": ""}, True)]
)
def test_a_lock_goes_when_it_proves_nothing(tmp_path, files, stays):
    with Claim(tmp_path, TRANSLATOR):
        fill(tmp_path, files)
        assert (tmp_path / ".lock").read_text().endswith(", translator")
    assert (tmp_path / ".lock").exists() == stays
    with Claim(tmp_path, TRANSLATOR):
        pass


def test_a_lock_that_its_owner_removed_is_no_lock(tmp_path, monkeypatch):
    """Between opening the file and locking it."""
    lock = fcntl.flock

    def slow(file, how):
        monkeypatch.setattr(fcntl, "flock", lock)
        (tmp_path / ".lock").unlink()
        lock(file, how)

    claim = Claim(tmp_path, REPORT)
    monkeypatch.setattr(fcntl, "flock", slow)
    with claim, pytest.raises(WorkdirError, match="in use"):
        Claim(tmp_path, REPORT).__enter__()


def test_a_folder_that_was_moved_meanwhile(tmp_path):
    with Claim(tmp_path / "a", RUN):
        (tmp_path / "a").rename(tmp_path / "b")


def test_damage_is_for_the_reader_of_the_file_to_tell(tmp_path):
    fill(tmp_path, {**OURS["run"], "config.json": "{"})
    assert check(tmp_path, RUN) == tmp_path


@pytest.mark.parametrize(
    "path, told",
    [
        ("", "= is empty"),
        ("  ", "= is empty"),
        ("gs://bucket/x", "is a bucket URL"),
        ("{tmp}/file", "is a file"),
        ("{tmp}/file/below/it", "file is a file"),
        ("{tmp}/broken", "is a link to .*nowhere, which does not exist"),
        ("{tmp}/" + "x" * 300, "cannot be looked into: File name too long"),
        ("~nobody-of-this-name/x", "cannot be looked into: "),
        ("/proc/new", "cannot write to"),
    ],
)
def test_places_where_no_folder_can_be(tmp_path, path, told):
    fill(tmp_path, {"file": ""})
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for kind in (RUN, REPORT, LATENTS):
        with pytest.raises(WorkdirError, match=told):
            Claim(path.format(tmp=tmp_path), kind).__enter__()
    assert sorted(tmp_path.iterdir()) == before


def test_a_storage_that_is_unknown():
    with pytest.raises(WorkdirError, match="'nothing://' is no storage that is known"):
        check("nothing://a/translator", TRANSLATOR)


def test_a_folder_without_permission(tmp_path, monkeypatch):
    """Mocked, because root may write wherever it likes."""
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != tmp_path)
    with pytest.raises(WorkdirError, match=f"no permission to write in {tmp_path}"):
        check(tmp_path / "new", REPORT)


def test_links_to_folders_are_folders(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Claim(tmp_path / "link", RUN):
        assert (tmp_path / "real" / ".lock").exists()
