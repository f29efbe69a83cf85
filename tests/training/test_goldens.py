"""The committed text of where parameters live; see goldens.py."""

import difflib
import importlib

import jax
import pytest

from experiments.tasks.registry import TASKS, kind_of
from flexlam_jax.parallel.sharding import path_name
from tests.training import goldens


@pytest.mark.parametrize("preset", goldens.PRESETS)
def test_parameters_live_where_the_golden_says(preset):
    path = goldens.FOLDER / f"{preset}.txt"
    expected, got = path.read_text().splitlines(), goldens.text(preset).splitlines()
    difference = "\n".join(
        difflib.unified_diff(expected, got, f"goldens/{path.name}", "now", n=1, lineterm="")
    )
    assert not difference, (
        f"{difference}\n\nIf this is what you want, run "
        "`python -m tests.training.goldens` and commit the files."
    )


def test_every_kind_has_a_golden():
    kinds = {
        kind_of(importlib.import_module(f"experiments.configs.{preset}").get_config())
        for preset in goldens.PRESETS
    }
    assert kinds == set(TASKS)


def test_optimizer_state_lives_with_its_parameter():
    state = goldens.states("base")[3]
    params = {
        path_name(path): leaf.sharding.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
    }
    followers = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.opt_state):
        name = path_name(path)
        for moment in ("/mu/", "/nu/"):
            if moment in name:
                assert leaf.sharding.spec == params[name.split(moment)[1]], name
                followers += 1
    assert followers == 2 * len(params)
