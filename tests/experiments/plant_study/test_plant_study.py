"""The study of a plant: what is told of codes whose meaning is known, and that its parts fit."""

import csv
import io

import numpy as np
import pytest

from experiments.plant_study import results
from experiments.plant_study.arms import ARMS
from experiments.plant_study.fits import Budget, latents
from experiments.plant_study.measure import BASELINES, Cases
from experiments.plant_study.plants import plants
from experiments.plant_study.scores import principal_slots, told

TINY = Budget(steps=3, batch=8, shifts=2, length=80, share=0.1)


@pytest.fixture(scope="module")
def plant():
    """(training, test) of a calm plant."""
    return plants(0.25, 0, 6, 300, 3)


def told_of(plant, columns):
    train, test = plant
    chosen = np.arange(0, len(train.truth), 7)
    return told(train.truth[:, columns], train, test.truth[:, columns], test, chosen)


def test_a_code_that_is_known_is_told_for_what_it_is(plant):
    pump = told_of(plant, [0])
    assert pump["pump_1"] > 0.999 and abs(pump["demand"]) < 0.3
    demand = told_of(plant, [2])
    assert demand["demand"] > 0.999 and demand["exogenous_share"] > 0.5
    both = told_of(plant, [0, 1])
    assert both["pumps"] > 0.999 and both["pumps_few"] > 0.999 and both["exogenous_share"] < 0.25


def test_histories_are_of_one_shift_and_units_are_those_of_changes(plant):
    train, _ = plant
    assert train.clips.shape == (6 * 299, 4, 5)
    change = train.clips[:, -1] - train.clips[:, -2]
    np.testing.assert_allclose(change.std(0), 1, rtol=0.02)
    np.testing.assert_array_equal(train.clips[1, :3], train.clips[0, 1:])
    first = train.clips[299]  # Of the second shift.
    assert (first[:3] == first[0]).all()


def test_components_of_a_calm_plant_are_its_pumps(plant):
    codes = principal_slots(*plant)
    train, test = plant
    found = told(codes[0][:, :2], train, codes[1][:, :2], test, np.arange(300))
    assert found["pumps"] > 0.5 and found["exogenous_share"] < 0.25


@pytest.mark.parametrize("arm", [ARMS[1], ARMS[3]], ids=lambda arm: arm.name)
def test_models_of_several_plants_are_fitted_and_encode(arm):
    made = [plants(strength, 0, TINY.shifts, TINY.length, arm.history) for strength in (0.5, 2)]
    trained, tested = zip(*made, strict=True)
    labelled = [np.arange(TINY.labels)] * 2
    found = latents(arm, trained, tested, labelled, [0, 1], TINY)
    assert [[len(x) for x in one] for one in found] == [[158, 79]] * 2
    assert not np.allclose(found[0][0], found[1][0])
    assert all(np.isfinite(x).all() for one in found for x in one)


def test_tables_say_plainly_what_is_a_disturbance():
    # Of seeds that agree, so that intervals are short.
    about = {"strength": 1.0, "arm": "levels"}
    demand = dict(pump_1=0.05, pump_2=0.1, demand=0.8, inflow=0.0, pumps=0.08, pumps_few=0.1)
    pump = dict(pump_1=0.9, pump_2=0.0, demand=0.0, inflow=0.02, pumps=0.45, pumps_few=0.4)
    rows = [
        {**about, "seed": seed, key: 1, **numbers, "exogenous_share": share}
        for seed in (0, 1, 2)
        for key in ("k", "slot")
        for numbers, share in ((demand, 0.83), (pump, 0.02))
        if (key == "k") == (numbers is demand)
    ]
    prefixes, slots, compared = results.tables(rows)
    assert prefixes.rows[0]["verdict"] == "**a disturbance** (demand)"
    assert slots.rows[0]["verdict"] == "the operator (pump_1)"
    assert [row["arm"] for row in compared.rows][-2:] == ["pair", "o_t"]
    lines = list(csv.DictReader(io.StringIO(results.as_csv(rows))))
    assert len(lines) == 6 and lines[0]["demand"] == "0.8" and lines[0]["slot"] == ""


def test_baselines_are_measured_without_a_model():
    rows = Cases([1.0], [0, 1], TINY).rows(BASELINES)
    assert len(rows) == 2 * (2 + 2 * 3)
    assert {row["arm"] for row in rows} == {"o_t", "pair", "closed form"}
