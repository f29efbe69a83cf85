"""What the page's keys tell the server, by node where it is installed: no browser is needed for it."""

import json
import pathlib
import shutil
import subprocess

import pytest

from experiments.play.keys import keys_of

HERE = pathlib.Path(__file__)
PAGE = HERE.parents[3] / "experiments" / "play" / "page"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


def board(*names, still=0):
    keys = keys_of(names)
    return {
        "still": still,
        "codes": [{"key": str(n + 1)} for n in range(len(names))],
        "actions": [{"code": n, "keys": sorted(keys[name])} for n, name in enumerate(names)],
    }


WALK = board("noop", "L", "R", "F", "FL")
OTHER = board("F", "noop", "L", still=1)


def told(*events):
    done = subprocess.run(
        ["node", HERE.with_name("keys_driver.mjs"), PAGE / "keys.js"],
        input=json.dumps([["board", WALK], *events]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_digits_play_codes_zero_none_and_the_newest_wins():
    one, two = "Digit2", "Digit3"
    assert told(["down", one], ["down", two], ["up", two], ["up", one]) == [1, 2, 1, None]
    assert told(["down", "Digit0"], ["down", "Digit9"]) == [0]  # no ninth code: nothing changes


def test_two_arrows_play_the_action_that_is_both_and_letters_what_arrows_do():
    assert told(["down", "ArrowUp"], ["down", "KeyA"], ["up", "ArrowUp"]) == [3, 4, 1]


def test_held_keys_play_on_by_another_board_and_held_buttons_do_not():
    assert told(["down", "ArrowLeft"], ["board", OTHER], ["up", "ArrowLeft"]) == [1, 2, None]
    assert told(["down", "Digit5"], ["board", OTHER]) == [4]  # which has no fifth code
    assert told(["button", 2], ["board", OTHER], ["down", "Digit1"]) == [2, 0]


def test_a_page_that_is_left_lets_go_and_other_keys_are_commands():
    assert told(["down", "ArrowUp"], ["away", None], ["down", "u"], ["down", "x"]) == [
        3,
        None,
        "undo",
    ]
