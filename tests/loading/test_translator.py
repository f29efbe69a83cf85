import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import flexlam_jax
from flexlam_jax.errors import CheckpointError, UserError, WorkdirError
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.loading.translator import TranslatorConfig, read_config, save_translator

SLOTS, WIDTH = 3, 2


def make(folder, discrete):
    """A translator of codes whose first slot's first number is, or becomes, the action."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, SLOTS, WIDTH)).astype(np.float32)
    action = (codes[:, 0, 0] > 0).astype(np.int32) if discrete else 10 + 3 * codes[:, 0, :1]
    spec = translator_fit.ActionSpec.of(action)
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
    save_translator(
        folder,
        {
            kind: {
                name: (
                    value[0]
                    if not isinstance(value, dict)
                    else {leaf: array[0] for leaf, array in value.items()}
                )
                for name, value in tree.items()
            }
            for kind, tree in variables.items()
        },
        config,
    )
    return (
        codes,
        action,
        np.asarray(translator_fit.predict(variables, codes.reshape(500, -1), spec))[0],
        config,
    )


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
    with pytest.raises(ValueError, match="config.json is missing"):
        flexlam_jax.load_translator(tmp_path)
    assert read_config(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"seed": 0, "model": {}}))
    with pytest.raises(ValueError, match="use flexlam_jax.load"):
        flexlam_jax.load_translator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        flexlam_jax.load_translator(tmp_path)


def test_missing_weights_are_one_message(tmp_path):
    make(tmp_path, True)
    for file in (tmp_path / "params").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        flexlam_jax.load_translator(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "t"
    return folder, make(folder, True)


def change_config(folder, **fields):
    file = folder / "config.json"
    values = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def test_changed_weights_are_noticed(made, tmp_path):
    """Each another translator's weights, whole and readable: only the fingerprint tells."""
    shutil.copytree(made[0], tmp_path / "t")
    config = made[1][-1]
    with ocp.StandardCheckpointer() as checkpointer:
        variables = checkpointer.restore(made[0] / "params")
    for number, leaf in enumerate(jax.tree.leaves(variables)):
        leaves = [np.array(x) for x in jax.tree.leaves(variables)]
        bits = leaves[number].reshape(-1).view(np.uint32)
        bits[len(bits) // 2] ^= 1 << (7 * number % 32)
        changed = jax.tree.unflatten(jax.tree.structure(variables), leaves)
        save_translator(tmp_path / "other", changed, config)
        shutil.rmtree(tmp_path / "t" / "params")
        shutil.copytree(tmp_path / "other" / "params", tmp_path / "t" / "params")
        with pytest.raises(CheckpointError, match="do not match their fingerprint"):
            flexlam_jax.load_translator(tmp_path / "t")


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"budgets": [1, 2]}, "not those that were written"),
        ({"action_names": ["right", "left"]}, "not those that were written"),
        ({"fingerprint": 3}, "not those that were written"),
        ({"outputs": "2"}, 'config.json is damaged: outputs: expected `int`, got `str`, it is "2"'),
        ({"budgets": 3}, "config.json is damaged: budgets: expected `array`, got `int`"),
        ({"lam": None}, "missing required field `lam`"),
        ({"slots": 0, "sha256": None}, "not those that were written"),
    ],
)
def test_a_changed_config_is_noticed(made, tmp_path, fields, told):
    shutil.copytree(made[0], tmp_path / "t")
    change_config(tmp_path / "t", **fields)
    with pytest.raises(CheckpointError, match=told):
        flexlam_jax.load_translator(tmp_path / "t")


def test_translators_of_early_versions_load(made, tmp_path, caplog):
    caplog.set_level("INFO")
    shutil.copytree(made[0], tmp_path / "t")
    change_config(tmp_path / "t", fingerprint=None, sha256=None)
    codes = made[1][0]
    loaded, known = (flexlam_jax.load_translator(f) for f in (tmp_path / "t", made[0]))
    np.testing.assert_array_equal(loaded(codes), known(codes))
    assert loaded.config == made[1][-1] and caplog.text.count("cannot be verified") == 1


def test_a_folder_of_somebody_else_is_not_written_to(made, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine").write_text("precious")
    with pytest.raises(WorkdirError, match="holds params, not a translator"):
        save_translator(tmp_path, {}, made[1][-1])
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

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", fail)
    with pytest.raises(UserError, match="cannot write a translator to .*No space left on device"):
        save_translator(tmp_path, {}, made[1][-1])
    assert not (tmp_path / "config.json").exists()
