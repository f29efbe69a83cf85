from fractions import Fraction

import pytest

from flexlam_jax.evaluation.labels import ALL, count_of, name_of, read_labels


@pytest.mark.parametrize(
    "text, labels, of_9111",
    [
        ("64", 64, 64),
        ("064", 64, 64),
        ("all", ALL, 9111),
        ("0.5%", Fraction(1, 200), 46),
        ("0.025%", Fraction(1, 4000), 3),
        ("7%", Fraction(7, 100), 638),
        ("100%", Fraction(1), 9111),
        ("20000", 20000, 20000),
    ],
)
def test_counts_and_shares(text, labels, of_9111):
    assert read_labels(text) == labels and type(read_labels(text)) is type(labels)
    assert count_of(labels, 9111) == of_9111
    assert read_labels(name_of(labels)) == labels


def test_a_share_that_is_whole_is_not_rounded_up():
    """In floats 7 % of 100 is a little more than 7."""
    assert count_of(read_labels("7%"), 100) == 7 and count_of(read_labels("0.1%"), 3000) == 3


@pytest.mark.parametrize(
    "text", ["0", "0%", "-1", "1.5", "1e3", "101%", "%", "5%5", " 5", "\u00b2", "\u0663%", "9" * 99]
)
def test_what_is_no_count(text):
    with pytest.raises(ValueError, match="neither a positive integer nor 'all' nor a share"):
        read_labels(text)
