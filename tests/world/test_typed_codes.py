"""Codes by frequency, what they are worth, and which one plays an action."""

import numpy as np
import pytest

from flexlam_jax.world.typed_codes import (
    cluster_book,
    code_book,
    codes_of_actions,
    commonest_actions,
    known_codes,
    nearest_codes,
    reliability,
    still_code,
)

TOKENS = np.array([[2, 0], [1, 5], [1, 5], [1, 4], [2, 0], [1, 5], [0, 0]])


def test_codes_are_prefixes_the_most_frequent_first():
    book = code_book(TOKENS, 1)
    assert book.ids.tolist() == [[1], [2], [0]]
    np.testing.assert_allclose(book.share, [4 / 7, 2 / 7, 1 / 7])
    assert book.code.tolist() == [1, 0, 0, 0, 1, 0, 2]
    assert (TOKENS[book.example, :1] == book.ids).all()


def test_a_longer_prefix_tells_more_codes_apart_and_none_tells_nothing():
    assert code_book(TOKENS, 2).ids.tolist() == [[1, 5], [2, 0], [0, 0], [1, 4]]
    assert code_book(TOKENS, 0).share.tolist() == [1]


@pytest.mark.parametrize("tokens, keep", [(TOKENS[:0], 1), (TOKENS, 3), (TOKENS[0], 1)])
def test_what_is_no_table_of_tokens_is_refused(tokens, keep):
    with pytest.raises(ValueError, match="code_book"):
        code_book(tokens, keep)


def test_codes_of_other_transitions_are_found_or_unknown():
    ids = code_book(TOKENS, 2).ids
    assert known_codes(ids, np.array([[2, 0], [9, 9], [1, 4]])).tolist() == [1, -1, 3]


def test_clusters_of_continuous_slots_are_codes_with_an_example():
    rng = np.random.default_rng(0)
    middle = np.array([[0, 0], [9, 0], [0, 9]])
    group = np.repeat([0, 1, 2], [50, 30, 20])
    slots = (middle[group] + rng.normal(size=(100, 2)))[:, :, None].repeat(2, -1)  # (N, K, D)
    book = cluster_book(slots, 2, 3)
    np.testing.assert_allclose(book.share, [0.5, 0.3, 0.2])
    assert (book.code == group).all() and (group[book.example] == [0, 1, 2]).all()
    assert (nearest_codes(book.ids, slots) == group).all()
    assert cluster_book(slots, 0, 3).share.tolist() == [1]


def test_reliability_counts_right_readings_and_widens_for_few_episodes():
    code = np.array([0] * 8 + [1] * 8 + [-1])
    action = np.array([3] * 8 + [3, 1] * 4 + [3])
    many = reliability(code, np.array([3, 1]), action, np.arange(17))
    few = reliability(code, np.array([3, 1]), action, np.zeros(17))
    assert many[0].mean == 1 and many[1].mean == 0.5 and set(many) == {0, 1}
    assert many[0].n == 8 and few[0].n == 1
    assert few[0].low < many[0].low < 1  # all agree, and still it has a width
    lopsided = reliability(
        np.zeros(107, int), np.array([3]), np.full(107, 3), np.arange(107) // 100
    )
    assert lopsided[0].n == 2 and lopsided[0].low == few[0].low  # One episode is nearly all.


def test_without_a_translator_a_code_reads_as_its_commonest_action_and_of_equals_the_first():
    code, action = np.array([0, 0, 0, 1, 1, -1]), np.array([2, 2, 1, 3, 0, 1])
    assert commonest_actions(code, action, codes=3, actions=4).tolist() == [2, 0, -1]


def test_an_action_is_played_by_the_code_that_is_surely_right():
    reads = np.array([0, 0, 1, 0])
    share = np.array([0.5, 0.3, 0.1, 0.1])
    assert codes_of_actions(reads, share) == {0: 0, 1: 2}
    right = reliability(
        np.repeat([0, 1, 3], [40, 40, 1]),
        reads,
        np.concatenate([np.repeat([0, 1], 20), np.zeros(41, int)]),
        np.arange(81),
    )
    # Code 3 was right once, code 1 forty times, code 0 every other time.
    assert codes_of_actions(reads, share, right) == {0: 1, 1: 2}
    assert codes_of_actions(reads, share, right, proven={0, 3}) == {0: 0, 1: 2}


def test_the_still_code_moves_least_of_those_that_occur_often():
    motion, share = np.array([3.0, 0.5, 0.1]), np.array([0.6, 0.398, 0.002])
    assert still_code(motion, share) == 1
    assert still_code(motion, share, least=0.9) == 2
