"""Sentences as vectors: stable, and different where sentences differ in more than their case."""

import os
import subprocess
import sys

import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.baku import build_text
from flexlam_jax.models.text_features import HashedNgrams, ngrams

SENTENCE = "Open the middle drawer of the cabinet"


def features(*texts, width=64):
    return HashedNgrams(width=width).features(texts)


def test_the_grams_of_a_sentence():
    letters = ["letters <it", "letters it>"]
    assert list(ngrams("It is-it")) == [
        "word it",
        *letters,
        "word is",
        "letters <is",
        "letters is>",
        "word it",
        *letters,
        "row it is",
        "row is it",
        "row it is it",
    ]


def test_numbers_stay_what_they_are_in_every_process_and_version():
    given = features("open", width=8)[0]
    # blake2b of "word open", "letters <op", "letters ope", "letters pen", "letters en>".
    np.testing.assert_allclose(given, np.array([1, 0, 0, 0, -1, 1, 0, -2]) / 7**0.5, atol=1e-6)
    program = (
        "from flexlam_jax.models.text_features import HashedNgrams;"
        f"print(HashedNgrams(width=64).features([{SENTENCE!r}]).tobytes().hex())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == features(SENTENCE).tobytes().hex()


def test_vectors_have_length_one_and_no_text_is_zero():
    given = features(SENTENCE, "", "...", "x")
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), [1, 0, 0, 1], atol=1e-6)
    assert given.dtype == np.float32


def test_case_and_punctuation_do_not_count_and_order_does():
    same = features(SENTENCE, f"{SENTENCE.upper()}.")
    np.testing.assert_array_equal(same[0], same[1])
    one, other = features("put the red on the blue", "put the blue on the red")
    assert 0.5 < one @ other < 0.95


def test_like_sentences_are_nearer_than_others():
    one, alike, other = features("close the drawer", "close the drawers", "stack two cubes")
    assert one @ alike > 0.6 > 0.3 > one @ other


def test_a_width_and_a_kind_that_do_not_exist():
    with pytest.raises(ConfigError, match="model.text.kind='bert' is unknown"):
        build_text({"text": {"kind": "bert"}})
    assert build_text({"text": {"kind": "none"}}).features(["a"]).shape == (1, 0)
