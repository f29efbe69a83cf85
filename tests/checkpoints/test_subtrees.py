"""Trees cut by path and put together again."""

import pytest

from flexlam_jax.checkpoints.subtrees import (
    children,
    merge,
    split,
    subtree,
    with_subtree,
    within,
)

TREE = {"lam": {"encoder": {"kernel": 1, "bias": 2}, "decoder": 3}, "head": 4}


def test_subtrees():
    assert subtree(TREE, "") is TREE
    assert subtree(TREE, "lam/encoder/bias") == 2
    assert subtree(TREE, "lam/code") is subtree(TREE, "head/kernel") is None
    changed = with_subtree(TREE, "lam/encoder", 5)
    assert changed == {"lam": {"encoder": 5, "decoder": 3}, "head": 4} and TREE["head"] == 4
    assert subtree(TREE, "lam/encoder/kernel") == 1
    assert with_subtree(None, "a/b", 1) == {"a": {"b": 1}}


@pytest.mark.parametrize("paths", [[""], ["lam"], ["lam/encoder/bias", "head"], ["nothing"]])
def test_split_and_merge(paths):
    outside, inside = split(TREE, lambda path: within(path, paths))
    assert merge(outside, inside) == merge(inside, outside) == TREE
    for path in ("lam/encoder/kernel", "lam/encoder/bias", "lam/decoder", "head"):
        there, gone = (inside, outside) if within(path, paths) else (outside, inside)
        assert subtree(there, path) == subtree(TREE, path) and subtree(gone or {}, path) is None


def test_a_path_is_not_within_its_namesakes():
    assert within("lam/encoder", ["lam"]) and within("lam", ["lam"]) and within("lam", [""])
    assert not within("lamp", ["lam"]) and not within("lam", ["lam/encoder"])


def test_what_lies_where_a_path_leaves_the_tree():
    assert children(TREE, "lam/code/x") == "lam has decoder, encoder"
    assert children(TREE, "code") == "it has head, lam"
