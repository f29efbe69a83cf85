import json

import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.translators import TranslatorConfig, read_config, save_translator

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
