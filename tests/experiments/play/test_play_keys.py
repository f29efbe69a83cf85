"""Which keys an action's name asks for."""

import pytest

from experiments.play.keys import keys_of, still_action


def test_the_actions_of_doom():
    found = keys_of(("L", "R", "F", "FL", "FR", "A", "SL", "SR", "LA"))
    assert {name: "+".join(sorted(keys)) for name, keys in found.items()} == {
        "L": "left",
        "R": "right",
        "F": "up",
        "FL": "left+up",
        "FR": "right+up",
        "A": "fire",
        "SL": "strafe_left",
        "SR": "strafe_right",
        "LA": "fire+left",
    }


@pytest.mark.parametrize(
    "name, keys",
    [
        ("turn_left", {"left"}),
        ("MOVE_FORWARD", {"up"}),
        ("strafe right", {"strafe_right"}),
        ("left-down", {"left", "down"}),
        ("noop", set()),
        ("d", set()),
        ("open the drawer", set()),
        ("", set()),
    ],
)
def test_names_in_words(name, keys):
    assert keys_of((name,))[name] == keys


def test_one_set_of_keys_plays_one_action():
    assert keys_of(("left", "west")) == {"left": frozenset({"left"}), "west": frozenset()}


def test_the_action_that_is_none():
    assert still_action(("left", "No-Op")) == "No-Op"
    assert still_action(("L", "R", "F")) == ""
