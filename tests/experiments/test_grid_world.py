"""The study of the grid world: what is trained, what is said of it, what is refused."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.grid_world.conditions import PLAIN, REVIVED, Condition, chosen, groups
from experiments.grid_world.fits import FAST, data_of, fit_and_score, problem
from experiments.grid_world.orderings import PAPER, orderings, orderings_table
from flexlam_jax.errors import UserError
from flexlam_jax.grid_world import world
from flexlam_jax.grid_world.model import GridLam
from flexlam_jax.reports.tables import cells
from tests.experiments.command_lines import run_lines


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def said(place):
    """name -> (exit code, stdout, stderr); in this order."""
    out = f"--out={place}/out"
    trained = [out, "--fast", "--seeds=0,1", "--conditions=low_noise,labels"]
    lines = {
        "first": trained,
        "again": trained,
        "condition": [f"--out={place}/x", "--conditions=low_noise,snow"],
        "intensity": [f"--out={place}/x", "--high=-2"],
        "labels": [f"--out={place}/x", "--labels=0"],
        "seeds": [f"--out={place}/x", "--seeds=a"],
    }
    return dict(zip(lines, run_lines("grid_world.command", list(lines.values())), strict=True))


def test_the_command_writes_tables_rows_and_orderings(place, said):
    assert said["first"][0] == 0, said["first"][2]
    told = json.loads((place / "out" / "results.json").read_text())
    kinds = [(row["condition"], row["seed"], row["keep"]) for row in told["rows"]]
    assert kinds == [(name, seed, 1) for name in ("low_noise", "labels") for seed in (0, 1)]
    assert len(told["orderings"]["paper"]) == 2 and not told["orderings"]["plain"]
    with open(place / "out" / "results.csv") as file:
        assert len(list(csv.DictReader(file))) == 4
    page = (place / "out" / "results.md").read_text()
    assert "| 1 | as they are | 0.68 | 0.56 | action | 1.10 |" in page
    assert "0.781 ± 0.079" in page and "| controllable | labels < low_noise |" in page


def test_what_was_trained_is_not_trained_again(place, said):
    assert said["again"][0] == 0, said["again"][2]
    kept = place / "out" / "groups" / "paper.json"
    assert kept.stat().st_mtime < (place / "out" / "results.md").stat().st_mtime
    assert said["first"][1] == said["again"][1]


def test_what_cannot_be_trained_is_one_message(place, said):
    assert not (place / "x").exists()
    for name, told in {
        "condition": "unknown condition snow; known: no_noise, low_noise",
        "intensity": "noise intensity -2.0 is below 0",
        "labels": "share of labels 0.0 is outside (0, 1]",
        "seeds": "--seeds=a: give whole numbers",
    }.items():
        code, _, err = said[name][:3]
        assert code == 1 and told in err and "Traceback" not in err, said[name]


def test_conditions_are_those_of_the_paper_and_more():
    every = {group.name: {one.name: one for one in group.conditions} for group in groups()}
    assert list(every["paper"]) == list(PAPER)
    assert all(one.codebook == PLAIN for one in every["plain"].values())
    assert all(one.slots == 2 for one in every["prefixes"].values())
    both = every["crossed"]["high_augmentation_labels"]
    assert both == Condition(both.name, 2.0, shift=True, labels=0.01, codebook=REVIVED)
    (group,) = chosen(groups(), ["labels", "no_noise"])
    assert [one.name for one in group.conditions] == ["no_noise", "labels"]
    with pytest.raises(UserError, match="policy='snake' is unknown"):
        Condition("x", 1.0, policy="snake")


def test_models_of_one_program_are_of_their_own_condition():
    """Without noise there is no noise to see, and labels change what is learned."""
    conditions = [
        Condition("none", 0.0),
        Condition("low", 1.0),
        Condition("labels", 1.0, labels=0.5),
    ]
    budget = dataclasses.replace(FAST, updates=40)
    rows = {row["condition"]: row for row in fit_and_score(conditions, [3], budget)}
    alone = fit_and_score(conditions[:1], [3], budget)[0]
    assert alone["stochastic"] is None is rows["none"]["stochastic"]
    assert alone["controllable"] == pytest.approx(rows["none"]["controllable"], rel=1e-3)
    losses = [row["controllable"] for row in rows.values()]
    assert len(set(losses)) == 3 and np.isfinite(losses).all()


def test_batches_are_shifted_pair_by_pair_and_labels_weigh_one_over_their_share():
    conditions = [Condition("plain", 1.0), Condition("shifted", 2.0, shift=True, labels=0.25)]
    budget = dataclasses.replace(FAST, transitions=400)
    data = data_of([(one, 0) for one in conditions], budget)
    draw = problem(GridLam(channels=4, slots=2), budget.batch).draw
    plain, shifted = (draw(data, first + jnp.arange(400), jax.random.key(0)) for first in (0, 400))
    np.testing.assert_array_equal(plain.o, plain.given)
    np.testing.assert_array_equal(plain.o_next, plain.target)
    assert not plain.label_weight.any() and shifted.label_weight.mean() == pytest.approx(1)
    assert plain.o.max() == 1 and shifted.o.max() == 2
    whole = world.frames(*(data["transitions"][i][400:] for i in (0, 3)), 2.0)
    after = world.frames(*(data["transitions"][i][400:] for i in (2, 4)), 2.0)
    moves = {}
    for name, pair in {"inverse": shifted[:2], "forward": shifted[2:4]}.items():
        fits = [
            np.all(np.roll(whole, by, -1) == pair[0], (1, 2))
            & np.all(np.roll(after, by, -1) == pair[1], (1, 2))
            for by in (-1, 0, 1)
        ]
        assert (np.sum(fits, 0) >= 1).all(), name
        moves[name] = np.argmax(fits, 0)
        np.testing.assert_allclose(np.bincount(moves[name]) / 400, 1 / 3, atol=0.1)
    same = (moves["inverse"] == moves["forward"]).mean()
    assert same == pytest.approx(1 / 3, abs=0.1)
    assert set(np.asarray(shifted.keep)) == {1, 2}
    assert shifted.other.shape == (5,) and shifted.other.max() < 800


def row(condition, seed, controllable, stochastic, keep=1):
    return {
        "condition": condition,
        "seed": seed,
        "keep": keep,
        "controllable": controllable,
        "stochastic": stochastic,
    }


def test_orderings_are_compared_seed_by_seed_and_by_the_whole_code():
    rows = [row("no_noise", seed, 0.5 + seed, None) for seed in range(3)]
    rows += [row("low_noise", seed, 0.7 + seed + 0.01 * seed, 0.6) for seed in range(3)]
    rows += [row("high_noise", seed, 0.6 + seed, 0.7 + seed - 1) for seed in range(3)]
    rows += [row("low_noise", 0, 9.0, 9.0, keep=0)]
    found = {(one["loss"], one["lower"], one["higher"]): one for one in orderings(rows, _same())}
    assert set(found) == {
        ("controllable", "no_noise", "low_noise"),
        ("controllable", "no_noise", "high_noise"),
        ("controllable", "low_noise", "high_noise"),
        ("stochastic", "high_noise", "low_noise"),
    }
    first = found["controllable", "no_noise", "low_noise"]
    assert first["holds"] == "yes" and first["difference"].mean == pytest.approx(0.21)
    assert first["paper"] == pytest.approx(0.157) and not first["apart"]
    assert found["controllable", "low_noise", "high_noise"]["holds"] == "no"
    assert found["controllable", "low_noise", "high_noise"]["apart"]
    assert found["stochastic", "high_noise", "low_noise"]["holds"] == "no"
    lines = [[cell.text for cell in line] for line in cells(orderings_table([first], "Orderings"))]
    assert lines == [
        ["controllable", "no_noise < low_noise", "0.157 (level)", "0.210 ±0.025", "yes"]
    ]


def test_an_ordering_whose_interval_holds_0_holds_in_the_mean():
    rows = [row("no_noise", seed, 0.5, None) for seed in range(3)]
    rows += [row("low_noise", seed, 0.4 + 0.3 * (seed > 0), 0.6) for seed in range(3)]
    (found,) = orderings(rows, _same())
    assert found["holds"] == "in the mean"


def _same():
    return {name: name for name in PAPER}
