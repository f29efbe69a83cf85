"""A study of distractors: which commands it runs, and what it refuses before any of them."""

import pytest

from experiments.exogenous_study.pieces import REPORT, Cell, Settings, pieces
from experiments.exogenous_study.remedies import LABELLED, PLAIN, REMEDIES
from experiments.preset_flag import read_preset
from tests.experiments.command_lines import run_lines

PRESET = "experiments/configs/exogenous.py"


def settings(out, **changes):
    given = {
        "out": out,
        "config": PRESET,
        "task": "health_gathering_sticky",
        "transitions": 400,
        "size": 64,
        "distractors": ("sprites",),
        "strengths": (0.0, 0.5, 1.0),
        "remedied": (1.0,),
        "seeds": (0, 3),
        "remedies": REMEDIES,
        "labels": "1%",
        "budgets": (1, 2),
        "split": "test",
    }
    return Settings(**given | changes)


def test_plain_models_are_trained_at_every_strength_and_remedies_where_asked(tmp_path):
    found = {piece.name: piece for piece in pieces(settings(tmp_path))}
    assert [name for name in found if name.startswith("shared/data/")] == [
        "shared/data/strength_0",
        "shared/data/strength_0.5",
        "shared/data/strength_1",
    ]
    trained = {name for name in found if "/lam/" in name}
    assert trained == {
        f"seed{seed}/lam/strength_{strength}/{name}"
        for seed in (0, 3)
        for strength, names in (
            ("0", [PLAIN]),
            ("0.5", [PLAIN]),
            ("1", [one.name for one in REMEDIES]),
        )
        for name in names
    }
    assert {piece.stage for piece in found.values()} == {"data", "lam", "report"}
    report = found["seed3/report/strength_1"]
    assert report.gives == REPORT and report.cell == Cell(1.0, 3)
    assert set(report.reads) == {
        name for name in trained if name.startswith("seed3/lam/strength_1/")
    }
    assert "--leakage" in report.flags and "--budgets=1,2" in report.flags
    # Nothing but the strength differs between the data of two strengths.
    plain, strong = (found[f"shared/data/strength_{one}"].flags for one in ("0", "1"))
    differ = [pair for pair in zip(plain, strong, strict=True) if pair[0] != pair[1]]
    assert ("--distractor-strength=0", "--distractor-strength=1") in differ and len(differ) == 2


def test_models_with_labels_learn_as_long_as_the_others(tmp_path):
    found = {piece.name: piece for piece in pieces(settings(tmp_path))}
    preset, flags = read_preset(PRESET), found["seed0/lam/strength_1/labels"].flags
    assert f"--config.total_steps={preset.total_steps}" in flags
    assert f"--config.optimizer.learning_rate={preset.optimizer.learning_rate}" in flags


def test_every_piece_comes_after_what_it_reads(tmp_path):
    seen = set()
    for piece in pieces(settings(tmp_path)):
        assert set(piece.reads) <= seen
        seen.add(piece.name)


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda remedy: remedy.name)
def test_every_remedy_changes_keys_that_its_preset_has(remedy):
    preset = PRESET
    if remedy.learns_from == LABELLED:
        preset = f"experiments/configs/lam_finetune.py:of={PRESET},scratch"
    for text in remedy.overrides:
        section = read_preset(preset)
        *sections, last = text.partition("=")[0].split(".")
        for name in sections:
            section = section[name]
        assert last in section


def test_what_cannot_be_compared_is_refused_at_once(tmp_path):
    out = f"--out={tmp_path / 'out'}"
    told = {
        "--strengths=0,2: give numbers from 0 to 1": ["--strengths=0,2"],
        "--strengths=strong: give numbers": ["--strengths=strong"],
        "--remedied=0.3 is none of --strengths": ["--remedied=0.3"],
        "--remedies: unknown prayer": ["--remedies=prayer"],
        "--distractors: unknown rain": ["--distractors=rain"],
        "--task=chess": ["--task=chess"],
        "--labels=few": ["--labels=few"],
        "--budgets: a LAM by": ["--budgets=9"],
    }
    said = run_lines("exogenous_study.command", [[out, *flags] for flags in told.values()])
    for (code, _, text, _), expected in zip(said, told, strict=True):
        assert code == 1 and expected in text and text.count("\n") == 1, text
    assert not (tmp_path / "out").exists()
