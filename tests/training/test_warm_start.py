"""What a new run takes from the checkpoints of others, and what is refused before it starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.checkpoints.references import read_frozen
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.models.heads import DETACHED_HEADS
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.loop import fit
from flexlam_jax.training.warm_start import apply_start, read_start, sources_of
from tests.training import toy
from tests.training.sources import KINDS, config_from, save_source, state_of


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """(work directory, its averaged parameters)."""
    folder = tmp_path_factory.mktemp("source")
    return folder, save_source(folder)


@pytest.fixture(scope="module")
def fresh():
    return state_of(seed=1)


def started(config, state, folder="here"):
    return apply_start(read_start(config, state, folder), state)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_all_parameters_come_from_the_average_of_the_other_run(source, fresh):
    state = started(config_from(source[0]), fresh)
    same(state.params, source[1])
    same(state.ema, source[1])
    assert float(state.extra["counter"]["n"]) == 5  # Other collections go along.
    same(state.opt_state, fresh.opt_state)


def test_a_part_comes_from_there_and_the_rest_stays(source, fresh):
    state = started(config_from(source[0], take="mlp/up", to="mlp/up"), fresh)
    same(state.params["mlp"]["up"], source[1]["mlp"]["up"])
    same(state.params["mlp"]["down"], fresh.params["mlp"]["down"])
    same(state.extra, fresh.extra)


def test_two_places_never_share_a_buffer(source, fresh):
    """The step donates its state: a buffer that two leaves share would be donated twice."""
    state = started(config_from(source[0]), fresh)
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((state.params, state.ema))]
    assert len(set(pointers)) == len(pointers)


def test_detached_heads_that_have_no_place_are_left_also_of_frozen_parameters(tmp_path, fresh):
    saved = state_of(seed=7)
    params = {**saved.params, DETACHED_HEADS: {"one": {"kernel": jnp.ones(2)}}}
    with Checkpoints(tmp_path / "source" / "checkpoints") as checkpoints:
        checkpoints.save(saved.replace(params=params, ema=None), {}, {"kind": "toy"})
    same(started(config_from(tmp_path / "source"), fresh).params, saved.params)
    larger = fresh.replace(
        params={"own": {"x": jnp.ones(1)}, "toy": fresh.params}, extra={}, ema=None
    )
    config = config_from(tmp_path / "source", to="toy", frozen=("toy",))
    references = read_start(config, larger, tmp_path / "new").references
    read = read_frozen(references, epath.Path(tmp_path / "new"), restore_params)
    same(read, {"toy": saved.params})


class Seen(Exception):
    pass


def test_a_run_begins_with_them(source, tmp_path):
    def evaluate(state):
        same(state.variables["params"], source[1])
        raise Seen

    with pytest.raises(Seen):
        fit(toy.objective(**KINDS), toy.Rows(), config_from(source[0]), tmp_path, evaluate=evaluate)


@pytest.mark.parametrize(
    "entry, told",
    [
        (dict(take="mlp/sideways"), "take='mlp/sideways' matches nothing .*: mlp has down, up"),
        (dict(take="lam"), "take='lam' matches nothing .*: it has mlp"),
        (dict(take="mlp", to="head"), "to='head' matches nothing .* this run's model: it has mlp"),
        (dict(frozen=("head",), to="mlp"), "names 'head', which no entry .*they give 'mlp'"),
    ],
)
def test_paths_that_match_nothing_are_told_with_those_that_exist(source, fresh, entry, told):
    with pytest.raises(ConfigError, match=told):
        read_start(config_from(source[0], **entry), fresh, "here")


def test_other_shapes_are_told_by_path(source):
    with pytest.raises(
        CheckpointError,
        match=r"mlp/up/kernel is float32\(8, 16\), expected float32\(8, 32\)(\n.*)+settings of that run",
    ):
        read_start(config_from(source[0]), state_of(hidden=32), "here")


def test_another_run_that_is_not_there(fresh, tmp_path):
    with pytest.raises(CheckpointError, match="config.init_from.*: no checkpoint in"):
        read_start(config_from(tmp_path), fresh, "here")


@pytest.mark.parametrize(
    "entries, told",
    [
        ({"a": {"take": "x"}}, "lacks init_from.a.path"),
        ({"a": {"path": "run", "takes": "x"}}, "unknown config key config.init_from.a.takes"),
        ({"a": {"path": "run", "step": -1}}, "config.init_from.a.step=-1 must be at least 0"),
        ({"a": "run"}, "init_from.a must be a mapping"),
        (
            {"a": {"path": "run", "to": "mlp"}, "b": {"path": "run", "to": "mlp/up"}},
            "init_from.a.to='mlp' and config.init_from.b.to='mlp/up' overlap",
        ),
    ],
)
def test_wrong_entries(entries, told):
    with pytest.raises(ConfigError, match=told):
        sources_of({"init_from": entries})
