"""What is said of boundaries: each stage beside its level, and beside cuts of the same count."""

import numpy as np
import pytest

from experiments.skill_study.fits import Cut
from experiments.skill_study.planted import PLANTED, planted
from experiments.skill_study.results import best_settings, markdown, tables
from experiments.skill_study.scores import scores
from experiments.skill_study.sources import Source

METRICS = {
    "undecided_1": 0.25,
    "undecided_2": 0.5,
    "one_step_1": 0.0,
    "one_step_2": 0.125,
    "latent": 0.5,
    "copied_latent": 1.0,
}


def of(name):
    kind = next(kind for kind in PLANTED if kind.name == name)
    return planted(kind, 0, {"train": 1, "validation": 1, "test": 24})["test"]


def test_true_boundaries_win_wherever_jumps_do_not_show_them():
    sequences = of("noise_1.0")
    inner, outer = scores(sequences, Cut(sequences.levels, METRICS), 0)
    for row in (inner, outer):
        assert row["f1"] == row["precision"] == row["recall"] == 1
        assert max(row["equal"], row["random"], row["jump"]) < 0.9
        assert row["chunks"] == row["true_chunks"] and row["repeats_cut"] is None
    assert (inner["stage"], outer["stage"]) == (1, 2)
    assert (inner["undecided"], outer["undecided"], outer["one_step"]) == (0.25, 0.5, 0.125)
    assert (inner["latent"], inner["copied"]) == (0.5, 1.0)


def test_repeats_that_are_cut():
    sequences = of("held")
    (row,) = scores(sequences, Cut(sequences.levels[:1], METRICS), 0)
    assert row["jump"] == 1 and row["repeats_cut"] == 0
    (row,) = scores(sequences, Cut((sequences.valid,), METRICS), 0)
    assert row["repeats_cut"] == 1 and row["recall"] == 1 and row["precision"] < 0.3


def rows(f1, split, seed=0, **values):
    values = {
        "sequences": "noise_1.0",
        "stage": 1,
        "equal": 0.3,
        "random": 0.2,
        "jump": 0.4,
    } | values
    return {"seed": seed, "split": split, "f1": f1, "repeats_cut": None, "chunks": 5.0, **values}


def test_a_setting_is_chosen_by_validation_and_told_of_the_test_split():
    settings = {
        "preset": [rows(0.5, "validation"), rows(0.9, "test"), rows(0.7, "test", 1)],
        "other": [rows(0.6, "validation"), rows(0.1, "test"), rows(0.3, "test", 1)],
        # A higher F1, but of cuts that are no better than the jumps.
        "more": [rows(0.8, "validation", jump=0.8), rows(0.1, "test"), rows(0.3, "test", 1)],
        # As far ahead of nothing as it can be.
        "none": [rows(0.0, "validation", equal=0.0, random=0.0, jump=-0.5, chunks=1.0)],
    }
    best = best_settings(settings)
    assert best == {1: "other"}
    shown = tables(settings, best)
    preset, other, _ = shown[0].rows  # Nothing is known of the last on the test split.
    assert (preset["setting"], other["setting"]) == ("preset", "other (chosen)")
    assert preset["f1"].mean == pytest.approx(0.8) and preset["ahead"].mean == pytest.approx(0.4)
    assert other["ahead"].mean == pytest.approx(-0.2) and "repeats_cut" not in other
    assert preset["f1"].n == 2
    source = Source("planted", "", (0, 1), fast=False)
    text = markdown(shown, {"command": "c"}, source, best)
    assert "*other* at stage 1" in text and "| preset | 0.80" in text.replace("noise_1.0 | ", "")
    assert text.count("seed by seed") == 1 and "held: no noise" in text


def test_ahead_is_of_the_best_of_each_seed():
    settings = {"preset": [rows(0.5, "test"), rows(0.5, "test", 1, jump=0.1, equal=0.45)]}
    (row,) = tables(settings, {1: ""})[0].rows
    assert row["ahead"].mean == pytest.approx((0.1 + 0.05) / 2)
    assert np.isclose(row["jump"].mean, 0.25)
