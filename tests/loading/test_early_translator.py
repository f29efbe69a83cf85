"""Translators that early versions wrote: config.json with all fields, and params/ without steps."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError
from flexlam_jax.typed_json import content_hash
from tests.loading.test_translator import make


def save_early(folder, variables, config):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "params", jax.tree.map(np.asarray, variables))
    values = {"kind": "translator", **config, "fingerprint": fingerprint(variables)}
    write(folder, values | {"sha256": content_hash(values)})


def write(folder, values):
    (folder / "config.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(folder as it is written now, the same as it was written, codes)."""
    place = tmp_path_factory.mktemp("translators")
    codes, *_, config = make(place / "now", True)
    variables = jax.tree.map(jnp.asarray, restore_params(place / "now")[0])
    save_early(place / "early", variables, dataclasses.asdict(config))
    return place / "now", place / "early", codes


@pytest.fixture
def early(pair):
    """(folder, its fields), mended afterwards."""
    text = (pair[1] / "config.json").read_text()
    yield pair[1], json.loads(text)
    (pair[1] / "config.json").write_text(text)


def test_it_loads_bit_for_bit(pair):
    known = flexlam_jax.load(pair[0])
    for read in (flexlam_jax.load, flexlam_jax.load_translator):
        loaded = read(pair[1])
        np.testing.assert_array_equal(loaded.outputs(pair[2]), known.outputs(pair[2]))
        assert loaded.config == known.config


def test_the_first_ones_have_no_proof(pair, early, caplog):
    caplog.set_level("INFO")
    folder, values = early
    write(folder, {k: v for k, v in values.items() if k not in ("fingerprint", "sha256")})
    np.testing.assert_array_equal(
        flexlam_jax.load(folder).outputs(pair[2]), flexlam_jax.load(pair[0]).outputs(pair[2])
    )
    assert caplog.text.count("cannot be verified") == 1


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"action_names": ["right", "left"]}, "not those that were written"),
        ({"sha256": 3}, "expected `str | null`, got `int`"),
    ],
)
def test_changed_fields_are_noticed(early, changed, told):
    folder, values = early
    write(folder, values | changed)
    with pytest.raises(CheckpointError, match=told):
        flexlam_jax.load(folder)


def test_weights_of_another_are_noticed(early):
    folder, values = early
    values["fingerprint"] += 1
    write(folder, values | {"sha256": content_hash(values)})
    with pytest.raises(CheckpointError, match="do not match their fingerprint"):
        flexlam_jax.load(folder)


def test_missing_weights_are_one_message(early, tmp_path):
    (tmp_path / "params").mkdir()
    write(tmp_path, early[1])
    with pytest.raises(CheckpointError, match="cannot be read"):
        flexlam_jax.load(tmp_path)
