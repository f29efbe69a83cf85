import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError, WorkdirError
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.loading.translator import TranslatorConfig, translator_config
from flexlam_jax.output_folder import TRANSLATOR

SLOTS, WIDTH = 3, 2


def make(folder, discrete):
    """A translator of codes whose first slot's first number is, or becomes, the action."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, SLOTS, WIDTH)).astype(np.float32)
    action = (codes[:, 0, 0] > 0).astype(np.int32) if discrete else 10 + 3 * codes[:, 0, :1]
    spec = translator_fit.ActionTarget.of(action)
    variables = translator_fit.fit(
        codes.reshape(500, -1), action, probes.label_draws(500, 1, 0), 500, spec
    )
    config = TranslatorConfig(
        discrete=spec.discrete,
        outputs=spec.size,
        hidden=translator_fit.TRANSLATOR.hidden,
        slots=SLOTS,
        slot_width=WIDTH,
        action_names=("left", "right") if discrete else ("x",),
        budgets=(1, 2, 3),
        lam={"checkpoint": "run", "step": 3, "fingerprint": "f"},
        data={"labels": "all"},
    )
    save(folder, jax.tree.map(lambda leaf: leaf[0], variables), config)
    outputs = translator_fit.predict(variables, codes.reshape(500, -1), spec)
    return codes, action, np.asarray(outputs)[0], config


def save(folder, variables, config):
    save_model(folder, TRANSLATOR, variables, dataclasses.asdict(config))


@pytest.mark.parametrize("discrete", [True, False])
def test_saved_and_loaded_translators_agree(tmp_path, discrete):
    codes, action, outputs, config = make(tmp_path / "t", discrete)
    translator = flexlam_jax.load_translator(tmp_path / "t")
    assert translator.config == config
    np.testing.assert_allclose(translator.outputs(codes), outputs, atol=1e-4)
    predicted = translator(codes)
    if discrete:
        assert predicted.dtype == np.int32 and (predicted == action).mean() > 0.97
        assert translator(codes[0]) == predicted[0]
    else:
        assert np.abs(predicted - action).mean() < 0.5 and translator(codes[0]).shape == (1,)
    with pytest.raises(ValueError, match=r"\(4, 2\); this one reads \(3, 2\)"):
        translator(np.zeros((4, 2), np.float32))


def test_what_is_no_translator_is_told_apart(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        flexlam_jax.load_translator(tmp_path)
    assert translator_config(tmp_path) is None
    save_model(tmp_path, dataclasses.replace(TRANSLATOR, name="kitchen"), {"params": {}}, {})
    with pytest.raises(CheckpointError, match="of kind 'kitchen', where .*'translator' is"):
        flexlam_jax.load_translator(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "t"
    return folder, make(folder, True)


def copied(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "t")


def test_missing_weights_are_one_message(made, tmp_path):
    folder = copied(made, tmp_path)
    for file in (folder / "checkpoints" / "0" / "params").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        flexlam_jax.load_translator(folder)


def test_changed_weights_are_noticed(made, tmp_path):
    """Another translator's weights, whole and readable: only the fingerprint tells."""
    folder = copied(made, tmp_path)
    variables, _, _ = restore_params(folder)
    variables["params"]["out"]["bias"] += 1e-6
    save(tmp_path / "other", variables, made[1][-1])
    item = Path("checkpoints", "0", "params")
    shutil.rmtree(folder / item)
    shutil.copytree(tmp_path / "other" / item, folder / item)
    with pytest.raises(CheckpointError, match="'params' does not match its fingerprint"):
        flexlam_jax.load_translator(folder)


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"outputs": "2"}, 'outputs: expected `int`, got `str`, it is "2"'),
        ({"budgets": 3}, "budgets: expected `array`, got `int`"),
        ({"lam": None}, "lam: expected `object`, got `null`"),
        ({"slots": 0}, "has sizes below 1"),
        ({"outputs": 3}, r"params/out/bias is float32\(2,\), expected float32\(3,\)"),
    ],
)
def test_a_config_that_does_not_fit_is_one_message(made, tmp_path, fields, told):
    values = dataclasses.asdict(made[1][-1]) | fields
    save_model(tmp_path, TRANSLATOR, restore_params(made[0])[0], values)
    with pytest.raises(CheckpointError, match=told):
        flexlam_jax.load_translator(tmp_path)


def test_a_changed_config_is_noticed(made, tmp_path):
    folder = copied(made, tmp_path)
    file = folder / "checkpoints" / "0" / "config" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"action_names": ["right", "left"]}))
    with pytest.raises(CheckpointError, match="'config' does not match its hash"):
        flexlam_jax.load_translator(folder)


def test_another_translator_replaces_the_one_that_lies_there(made, tmp_path):
    folder = copied(made, tmp_path)
    variables = jax.tree.map(jnp.zeros_like, restore_params(folder)[0])
    variables["statistics"]["scale"] += 1
    save(folder, variables, made[1][-1])
    assert not flexlam_jax.load_translator(folder).outputs(made[1][0]).any()


def test_a_folder_of_somebody_else_is_not_written_to(made, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine").write_text("precious")
    with pytest.raises(WorkdirError, match="holds params, not a translator"):
        save(tmp_path, {}, made[1][-1])
    assert [file.name for file in tmp_path.rglob("*")] == ["params", "mine"]


@pytest.mark.parametrize(
    "bad, told",
    [
        (np.float32("nan"), "NaN or infinity"),
        (np.float32("-inf"), "NaN or infinity"),
        (np.int32(1), "codes are int32"),
    ],
)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_codes_that_are_no_numbers_are_no_action(made, bad, told, array):
    translator = flexlam_jax.load_translator(made[0])
    codes = np.zeros((2, SLOTS, WIDTH), bad.dtype)
    codes[1, 1, 1] = bad
    for given in (codes, codes[1]):
        with pytest.raises(ValueError, match=told):
            translator(array(given))
    with pytest.raises(ValueError, match="empty batch"):
        translator(array(np.zeros((0, SLOTS, WIDTH), np.float32)))


def test_inside_jit_values_are_not_checked(made):
    translator = flexlam_jax.load_translator(made[0])
    outputs = jax.jit(translator.outputs)(np.full((SLOTS, WIDTH), np.nan, np.float32))
    assert np.isnan(outputs).all()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ValueError("UNKNOWN: write: No space left on device [4, 2]"),
    ],
)
def test_a_full_disk_is_one_message(made, tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
    with pytest.raises(UserError, match="cannot write a translator to .*No space left on device"):
        save(tmp_path, restore_params(made[0])[0], made[1][-1])
    assert translator_config(tmp_path) is None
