"""The suite: shared actions, experts that earn what the table states, episodes that end in view."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.registry import get_recipe, recipe_options
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.doom.game import Doom
from data_pipelines.simulators.doom.grid import WALL_PRICE, Grid, way_costs
from data_pipelines.simulators.doom.suite import SCENARIOS, SUITE, DoomSuite
from data_pipelines.simulators.rollout import rollout

TABLE = pathlib.Path(__file__).parents[3] / "docs" / "results" / "doom_suite.json"


class WithoutEnds(DoomSuite):
    """Steps at once, as in the scenarios whose end is not seen."""

    scenarios = {
        name: dataclasses.replace(scenario, keeps_end=False) for name, scenario in SCENARIOS.items()
    }


class WithRest(DoomSuite):
    """A ninth action that presses nothing."""

    scenarios = {
        name: dataclasses.replace(scenario, actions=scenario.actions | {"rest": ()})
        for name, scenario in SCENARIOS.items()
    }


@pytest.fixture(scope="module")
def suite():
    with DoomSuite(ground_truth=True) as simulator:
        yield simulator


def play(simulator, task, behaviour, seed):
    simulator.reset(seed, task)
    agent = BEHAVIOURS[behaviour].make(simulator, np.random.default_rng(seed))
    return rollout(simulator, agent, max_steps=simulator.task.max_steps)


def test_all_tasks_share_eight_actions_and_what_they_record():
    tasks = DoomSuite.tasks()
    assert set(SUITE) < set(tasks) and len(SUITE) == 6 and DoomSuite.suite == SUITE
    assert {task.action.names for task in tasks.values()} == {
        ("L", "R", "F", "FL", "FR", "A", "SL", "SR")
    }
    assert len({task.state_names for task in tasks.values()}) == 1
    endless = {name for name, task in tasks.items() if task.max_steps}
    assert endless == {"defend_the_line", "take_cover"}
    for task in tasks.values():
        assert set(task.details["native_actions"]) < set(task.action.names)


@pytest.mark.parametrize("task", SCENARIOS)
def test_experts_earn_more_than_random_play(suite, task):
    earned = {
        behaviour: [play(suite, task, behaviour, seed).episode_return for seed in range(2)]
        for behaviour in ("random", "expert")
    }
    scores = {name: suite.normalised_score(np.mean(values)) for name, values in earned.items()}
    assert scores["expert"] > max(0.45, scores["random"] + 0.3), (earned, scores)


def test_equal_seeds_play_equal_episodes_whatever_was_played_before(suite):
    first = play(suite, "rocket_basic", "noisy", 3)
    play(suite, "take_cover", "random", 1)
    again, other = (play(suite, "rocket_basic", "noisy", seed) for seed in (3, 4))
    np.testing.assert_array_equal(first.frames["player"], again.frames["player"])
    np.testing.assert_array_equal(first.action, again.action)
    assert first.episode_return == again.episode_return
    assert (first.frames["player"][0] != other.frames["player"][0]).any()


def test_the_step_that_kills_the_monster_keeps_a_picture_and_its_action(suite):
    """The same episode as without: the same rewards and states, and mostly one step more to see."""
    kept = 0
    for seed in range(4):
        seen = play(suite, "rocket_basic", "expert", seed)
        with WithoutEnds(ground_truth=True) as simulator:
            unseen = play(simulator, "rocket_basic", "expert", seed)
        assert seen.done and seen.episode_return == unseen.episode_return
        np.testing.assert_array_equal(seen.state[: unseen.length], unseen.state)
        kept += seen.length - unseen.length
        if seen.length > unseen.length:
            assert (seen.frames["player"][-1] != seen.frames["player"][-2]).any()
            assert len(seen.action) == unseen.length
    assert kept >= 3


def test_a_weapon_does_not_swing_on_from_the_episode_before():
    with DoomSuite() as simulator:
        names = simulator.tasks()["deadly_corridor"].action.names

        def pictures(seed, text):
            simulator.reset(seed, "deadly_corridor")
            agent = map(names.index, text.split()).__next__
            return rollout(simulator, lambda frames: agent(), max_steps=len(text.split())).frames[
                "player"
            ]

        course = "F F F SL F F A A F F"
        first = pictures(1, course)
        pictures(7, "F " * 40)
        np.testing.assert_array_equal(first, pictures(1, course))


@pytest.mark.parametrize("task", ["defend_the_line", "take_cover", "health_gathering_supreme"])
def test_an_attack_is_seen_a_step_late_and_without_a_weapon_never(task):
    """What the page of the suite warns of: a transition does not show the shot that it is."""
    pictures = {}
    with WithRest() as simulator:
        names = simulator.tasks()[task].action.names
        for pressed in ("rest", "A"):
            simulator.reset(1, task)
            shown = []
            for name in ["F"] * 10 + [pressed, "rest"]:
                simulator.step(names.index(name))
                shown.append(simulator.frames()["player"])
            pictures[pressed] = np.stack(shown)
    changed = (pictures["rest"] != pictures["A"]).any((1, 2, 3))
    seen = task == "defend_the_line"
    assert not changed[:-1].any() and changed[-1] == seen
    assert ("A" in DoomSuite.tasks()[task].details["without_effect"]) != seen


def test_after_the_end_it_shows_its_last_picture_but_does_not_go_on(suite):
    play(suite, "rocket_basic", "expert", 0)
    assert suite.shows_end and suite.frames()["player"].std() > 1
    with pytest.raises(DataError, match="no episode of DoomSuite runs"):
        suite.step(0)
    play(suite, "take_cover", "random", 0)
    assert not suite.shows_end
    with pytest.raises(DataError, match="no episode of DoomSuite runs"):
        suite.frames()


def test_unknown_tasks_actions_and_experts_without_ground_truth_say_so():
    with DoomSuite() as simulator:
        with pytest.raises(DataError, match=r"DoomSuite has no task 'deathmatch'; tasks: .*"):
            simulator.reset(0, "deathmatch")
        simulator.reset(0, "take_cover")
        with pytest.raises(DataError, match=r"DoomSuite\(ground_truth=True\)"):
            simulator.expert()
        with pytest.raises(DataError, match="gave action 8, expected a number from 0 to 7"):
            rollout(simulator, lambda frames: 8, max_steps=2)


def test_noisy_play_is_less_noisy_here_and_as_it_was_in_doom():
    def behaviour(recipe, name):
        (spec,) = get_recipe(recipe).specs(recipe_options(recipe, f"--plan={name}=10"))
        return spec.behaviour

    expected = "scripted expert, uniform random action with probability {}"
    assert behaviour("doom_suite", "take_cover_noisy") == expected.format(0.2)
    assert behaviour("doom", "health_gathering_noisy") == expected.format(0.3)
    assert (Doom.noisy_share, DoomSuite.noisy_share) == (0.3, 0.2)


def test_the_plan_holds_noisy_and_sticky_play_of_all_tasks_and_a_narrow_source():
    plan = recipe_options("doom_suite")["plan"]
    for task in (*SUITE, "health_gathering_supreme"):
        assert plan[f"{task}_noisy"] == 18000 and plan[f"{task}_sticky"] >= 4000
    assert "deadly_corridor_sticky" in plan and "deadly_corridor_noisy" not in plan


def test_the_returns_that_score_0_and_1_are_those_of_the_table():
    table = json.loads(TABLE.read_text())["tasks"]
    tasks = DoomSuite.tasks()
    assert set(table) == set(tasks)
    for name, task in tasks.items():
        for behaviour in ("random", "expert"):
            measured = table[name][behaviour]["return"]
            stated = getattr(task, f"{behaviour}_return")
            digits = 2 if abs(measured["mean"]) < 10 else 1
            assert stated == round(measured["mean"], digits), (name, behaviour)
            assert measured["n"] >= 100


def test_ways_go_around_walls():
    """A room of 6 x 6 cells with a wall across, open at the top only."""
    edge = 96.0
    walls = [(0, 0, edge, 0), (0, edge, edge, edge), (0, 0, 0, edge), (edge, 0, edge, edge)]
    grid = Grid(np.array([*walls, (48, 0, 48, 60)], np.float32), clearance=1.0)
    blocked = np.zeros(grid.shape, bool)
    blocked[3, :4] = True
    prices = np.where(blocked, WALL_PRICE, 1.0)
    costs = way_costs(prices, [(5, 0)])
    assert costs[5, 0] == 0 and costs[4, 1] == pytest.approx(2**0.5)
    assert costs[2, 0] > 6 and costs[2, 0] < WALL_PRICE  # up, over and down, not through
    cell = (2, 0)
    for _ in range(12):
        cell = grid.follow(cell, costs, 1)
        assert not blocked[cell]
    assert cell == (5, 0)
    assert np.isinf(way_costs(prices, [])).all()
