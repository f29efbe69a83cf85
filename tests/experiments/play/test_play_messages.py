"""What a browser may say, and how much of it."""

import json

import pytest

from experiments.play import messages
from experiments.play.messages import LARGEST, Budget, frame_header, parse
from flexlam_jax.errors import UserError


def test_messages_are_typed():
    assert parse('{"type": "hold", "code": 3, "stamp": 1.5}') == messages.Hold(3, 1.5)
    assert parse('{"type": "step"}') == messages.Once()
    assert parse('{"type": "start", "index": -1, "seed": 7}') == messages.Start(-1, 7)


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "not understood"),
        ("{", "not understood"),
        ("[" * 2000, "not understood"),
        ('{"type": "exec"}', "exec"),
        ('{"type": "hold"}', "code"),
        ('{"type": "hold", "code": "3"}', "int"),
        ('{"type": "hold", "code": true}', "int"),
        ('{"type": "hold", "code": -1}', "code"),
        ('{"type": "hold", "code": 1, "stamp": 1e99}', "stamp"),
        ('{"type": "hold", "code": 1, "extra": 1}', "extra"),
        ('{"type": "rate", "fps": 1e9}', "fps"),
        ('{"type": "rate", "fps": NaN}', "not understood"),
        ('{"type": "undo", "count": 0}', "count"),
        ('{"type": "pause", "on": "\\ud800"}', "not understood"),
        (json.dumps({"type": "pause", "on": "x" * LARGEST}), f"{LARGEST} are the most"),
    ],
)
def test_what_is_no_message_is_one_error(text, told):
    with pytest.raises(UserError, match=told):
        parse(text)


def test_a_flood_is_dropped_until_it_is_quiet_again():
    budget = Budget(rate=10, burst=4)
    assert [budget.takes(0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert not budget.takes(0.1) and budget.dropped == 3  # a little room is not enough
    assert budget.takes(0.5) and budget.dropped == 0


def test_steady_messages_below_the_rate_are_all_read():
    budget = Budget(rate=10, burst=2)
    assert all(budget.takes(n / 10) for n in range(100))


def test_a_header_tells_its_length_and_keeps_pixels_aligned():
    header = frame_header(frame=12, shape=(4, 4, 3))
    length = int.from_bytes(header[:4], "little")
    assert len(header) == 4 + length and length % 4 == 0
    assert json.loads(header[4:]) == {"frame": 12, "shape": [4, 4, 3]}
