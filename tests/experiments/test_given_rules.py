"""Rollouts that take actions by the rules of others."""

import json

import pytest

from experiments.rollout.given_rules import rules_of
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule


def test_rules_are_those_of_earlier_rollouts(tmp_path):
    tasks = {"aim": {"rule": "argmax"}, "walk": {"rule": "sample^1.5"}, "alone": {"rule": ""}}
    (tmp_path / "returns.json").write_text(json.dumps({"tasks": tasks}))
    assert rules_of(tmp_path, ["walk"]) == {"walk": Rule("sample", 1.5)}
    for task in ("alone", "absent"):
        with pytest.raises(UserError, match=f"no rule of task {task}; it has rules of aim, walk"):
            rules_of(tmp_path, ["aim", task])


def test_unfinished_rollouts_have_none(tmp_path):
    with pytest.raises(UserError, match=r"returns.json cannot be read .*--rules_of"):
        rules_of(tmp_path, ["aim"])
