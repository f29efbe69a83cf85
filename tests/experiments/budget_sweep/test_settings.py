"""What is refused before anything runs."""

from types import SimpleNamespace

import pytest

from experiments.budget_sweep import settings
from experiments.budget_sweep.settings import check_data
from flexlam_jax.errors import UserError
from tests.experiments.budget_sweep.sweeps import sweep
from tests.experiments.command_lines import run_lines

DOOM = "--config=experiments/configs/doom.py"
REFUSED = {
    "--protocols: unknown broad; known: scarce, narrow, joint": ["--protocols=scarce,broad"],
    "--draws has 1 numbers, --labels 2; give one of each": ["--draws=5"],
    "--draws=5,0: give whole numbers, at least 1": ["--draws=5,0"],
    "--labels: 'few' is neither": ["--labels=few,64"],
    "--seeds names 1 more than once": ["--seeds=1,1"],
    "--budgets=0,4: give whole numbers, at least 1": ["--budgets=0,4"],
    "--datasets names 1, --tasks 6; give one of each task": ["--datasets=mine"],
    "has no task 'chess'; tasks: ": ["--tasks=chess"],
    "--simulator=videos is": ["--simulator=videos"],
    "there is no file 'absent.py'": ["--config=absent.py"],
    "--out= is empty": ["--out="],
}


def test_flags_that_make_no_sense_are_one_message(tmp_path):
    lines = [[f"--out={tmp_path}/sweep", DOOM, *given] for given in REFUSED.values()]
    for told, (code, out, err, _) in zip(
        REFUSED, run_lines("budget_sweep.command", lines), strict=True
    ):
        assert code == 1 and told in err and not out, (told, err)
    assert not (tmp_path / "sweep").exists()


def folder_of(**datasets):
    """A dataset folder's manifest: name -> (actions or None, train transitions)."""
    specs = {
        name: SimpleNamespace(action=names and SimpleNamespace(names=names))
        for name, (names, _) in datasets.items()
    }
    counts = {name: {"train": {"transitions": count}} for name, (_, count) in datasets.items()}
    return SimpleNamespace(spec=specs.__getitem__, counts=counts)


@pytest.mark.parametrize(
    "change, told",
    [
        ({}, None),
        ({"walk_noisy": (("up", "down"), 20)}, "walk_noisy has the actions up, down, but"),
        ({"walk_noisy": (None, 20)}, "walk_noisy has the actions none, but --simulator=doom_suite"),
        ({"aim_noisy": (("left", "right"), 5)}, "--labels: 30 labels are more than the 25 train"),
    ],
)
def test_the_data_must_hold_what_is_asked_of_them(monkeypatch, tmp_path, change, told):
    names = ("aim_noisy", "walk_noisy", "aim_sticky", "stand_sticky")
    held = {name: (("left", "right"), 20) for name in names} | change
    monkeypatch.setattr(settings, "open_dataset", lambda path: folder_of(**held))
    asked = sweep(tmp_path, labels={"16": 2, "30": 1})
    if told is None:
        check_data(asked)
    else:
        with pytest.raises(UserError, match=told):
            check_data(asked)
