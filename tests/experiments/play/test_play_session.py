"""The play of a tab, without a tab: what messages and steps make of it."""

import dataclasses

import numpy as np
import pytest

from experiments.play import messages
from experiments.play.session import LIVE, MOST_MOMENTS, Session, depth_of, step_seed
from flexlam_jax.errors import UserError
from tests.experiments.play.stand_in import CONTROLS, pictures

FRAME = pictures()[0, 0]
LEFT, RIGHT = 1, 2


@pytest.fixture
def session():
    return Session(keep=2, fps=10.0).begun(0, "s0", FRAME)


def said(session, *said):
    for message in said:
        session = session.received(message, CONTROLS, starts=2)
    return session


def played(session, count=1):
    for _ in range(count):
        step = session.step(CONTROLS)
        session = session.stepped(step, f"{step.moment.state}{step.number}", FRAME)
    return session


def test_nothing_is_due_before_a_start():
    assert Session(keep=2, fps=10.0).step(CONTROLS) is None


def test_without_a_key_the_still_code_is_played_and_with_one_its_code(session):
    assert session.step(CONTROLS).number == CONTROLS[2].still
    held = said(session, messages.Hold(RIGHT))
    assert held.step(CONTROLS).number == RIGHT
    assert played(held).step(CONTROLS).number == RIGHT  # while it is held
    assert said(played(held), messages.Release()).step(CONTROLS).number == CONTROLS[2].still


def test_where_no_code_is_no_action_time_stands_without_a_key(session):
    boards = {2: dataclasses.replace(CONTROLS[2], still=None)}
    assert session.step(boards) is None
    assert said(session, messages.Hold(LEFT)).step(boards).number == LEFT


def test_a_tap_between_two_steps_is_played_once_and_the_latest_key_wins(session):
    tapped = said(session, messages.Hold(LEFT), messages.Hold(RIGHT, 5.0), messages.Release(9.0))
    step = tapped.step(CONTROLS)
    assert step.number == RIGHT and step.stamp == 5.0
    after = played(tapped)
    assert after.step(CONTROLS).number == CONTROLS[2].still and after.stamp == 0.0


def test_a_key_that_comes_while_a_step_is_computed_waits_for_the_next(session):
    held = said(session, messages.Hold(LEFT, 1.0))
    step = held.step(CONTROLS)
    later = said(held, messages.Hold(RIGHT, 2.0), messages.Release(3.0))
    after = later.stepped(step, "s", FRAME)
    assert after.now.code.action_name == "left"
    assert after.step(CONTROLS).number == RIGHT and after.step(CONTROLS).stamp == 2.0


def test_a_key_without_a_stamp_that_comes_while_a_step_is_computed_is_played_too(session):
    step = session.step(CONTROLS)
    tapped = said(session, messages.Hold(RIGHT), messages.Release())
    assert tapped.stepped(step, "s", FRAME).step(CONTROLS).number == RIGHT


def test_a_single_step_is_not_the_one_that_is_computed_already(session):
    step = session.step(CONTROLS)
    asked = said(session, messages.Once(RIGHT)).stepped(step, "s", FRAME)
    single = asked.step(CONTROLS)
    assert single.number == RIGHT
    another = said(asked, messages.Once(LEFT)).stepped(single, "s", FRAME)
    assert another.step(CONTROLS).number == LEFT
    assert played(another).step(CONTROLS) is None


@pytest.mark.parametrize("message", [messages.Pause(True), messages.Undo(), messages.Start()])
def test_a_key_that_is_held_plays_on_after_a_pause_an_undo_and_a_reset(session, message):
    after = said(played(said(session, messages.Hold(LEFT))), message, messages.Pause(False))
    after = after.begun(after.generation, "s", FRAME)
    assert after.step(CONTROLS).number == LEFT
    assert said(after, messages.Release()).step(CONTROLS).number == CONTROLS[2].still


def test_a_pause_stops_and_a_single_step_goes_on_by_one(session):
    paused = said(session, messages.Pause(True))
    assert paused.step(CONTROLS) is None
    once = said(paused, messages.Once(RIGHT))
    assert once.step(CONTROLS).number == RIGHT
    assert played(once).step(CONTROLS) is None
    twice = said(paused, messages.Once(), messages.Once(LEFT))
    assert played(twice).step(CONTROLS) and played(twice, 2).step(CONTROLS) is None
    assert said(played(once), messages.Pause(False)).step(CONTROLS) is not None


def test_undo_gives_the_states_that_were_and_the_same_seeds(session):
    after = played(said(session, messages.Hold(LEFT)), 3)
    back = said(after, messages.Undo(2))
    assert back.now.state == "s01" and back.paused and back.step(CONTROLS) is None
    again = said(back, messages.Pause(False)).step(CONTROLS)
    assert again.seed == step_seed(0, 1) and again.seed != step_seed(0, 2) != step_seed(1, 2)
    assert said(after, messages.Undo(99)).now.number == 0
    with pytest.raises(UserError, match="no earlier frame"):
        said(session, messages.Undo())


def test_what_was_begun_before_an_undo_or_a_start_is_dropped(session):
    after = played(session, 2)
    step = after.step(CONTROLS)
    back = said(after, messages.Undo())
    assert back.stepped(step, "late", FRAME) == back
    anew = said(after, messages.Start(1, 3))
    assert anew.beginning and anew.step(CONTROLS) is None
    assert anew.stepped(step, "late", FRAME) == anew
    assert anew.begun(after.generation, "late", FRAME) == anew
    begun = anew.begun(anew.generation, "new", FRAME)
    assert (begun.now.state, begun.now.number, begun.start, begun.seed) == ("new", 0, 1, 3)


def test_a_reset_keeps_start_and_seed(session):
    anew = said(session, messages.Start(1, 3), messages.Start())
    assert (anew.start, anew.seed) == (1, 3)
    assert said(session, messages.Start(LIVE)).start == LIVE


@pytest.mark.parametrize(
    "message, told",
    [
        (messages.Hold(3), "no code 3"),
        (messages.Once(9), "no code 9"),
        (messages.Keep(3), "k = 3"),
        (messages.Start(2), "no start 2"),
    ],
)
def test_what_this_world_does_not_have_is_refused(session, message, told):
    with pytest.raises(UserError, match=told):
        said(session, message)


def test_a_change_of_budget_lets_go_of_codes_of_the_other(session):
    changed = said(session, messages.Hold(RIGHT), messages.Keep(1))
    assert changed.step(CONTROLS).keep == 1
    assert changed.step(CONTROLS).number == CONTROLS[1].still


def test_moments_are_bounded_by_number_and_memory(session):
    small = played(dataclasses.replace(session, depth=3), 9)
    assert [moment.number for moment in small.past] == [7, 8, 9]
    assert depth_of(1) == MOST_MOMENTS and depth_of(100, memory=1000) == 10
    assert depth_of(10**12) == 2


def test_a_failed_step_stands_still(session):
    failed = said(session, messages.Hold(LEFT)).failed()
    assert failed.step(CONTROLS) is None and np.array_equal(failed.now.frame, FRAME)
    assert said(failed, messages.Pause(False)).step(CONTROLS).number == LEFT


def test_after_a_start_that_failed_nothing_goes_on_but_another_start(session):
    failed = said(played(session), messages.Start(1, 3)).failed()
    assert said(failed, messages.Pause(False)).step(CONTROLS) is None
    with pytest.raises(UserError, match="no earlier frame"):
        said(failed, messages.Undo())
    again = said(failed, messages.Start(0)).begun(failed.generation + 1, "s", FRAME)
    assert said(again, messages.Pause(False)).step(CONTROLS).moment.state == "s"
