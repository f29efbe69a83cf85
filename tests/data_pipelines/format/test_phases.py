"""Phases of a demonstration as a number per step."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.phases import phase_numbers

EPISODE = {"length": 7, "stages": [[0, "open"], [2, "close"], [5, "lock"]]}


def test_a_phase_lasts_until_the_next_begins():
    numbers = phase_numbers(EPISODE, "stages", where="here")
    np.testing.assert_array_equal(numbers, [0, 0, 1, 1, 1, 2])
    assert numbers.dtype == np.int32


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stages": []}, "here: no 'stages' in its metadata.*prepare ogbench"),
        ({"stages": [[1, "open"]]}, r"here: stages begin at steps \[1\]; expected 0 first"),
        ({"stages": [[0, "a"], [0, "b"]]}, r"at steps \[0, 0\]"),
        ({"length": 6}, "ascending steps below 5"),
        ({"stages": [[0, 1]]}, "here, stages: field"),
    ],
)
def test_what_is_no_list_of_phases_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        phase_numbers(EPISODE | change, "stages", where="here")
