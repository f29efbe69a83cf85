"""Loaded skills step by step; what they read and refuse is in tests/experiments/test_hilam_task.py."""

import numpy as np
import pytest

from flexlam_jax.loading.hilam import LoadedHiLam
from flexlam_jax.models.hilam import build_hilam
from tests.models.test_hilam import CODES, F, parameters

MODEL = {
    "targets": (3.0,),
    "widths": (8, 8),
    "encoder_layers": (0,),
    "decoder_layers": (0,),
    "main_layers": 1,
    "heads": 2,
    "mlp_ratio": 1,
    "keep": 2,
    "capacity": 0.2,
}


@pytest.fixture(scope="module")
def skills():
    model = build_hilam(MODEL, CODES, {})
    args = np.zeros((1, 2, F), np.float32), np.ones((1, 2), bool)
    config = {"model": MODEL, "codes": {**CODES, "gap": 1}, "lam": {}}
    return LoadedHiLam(model, parameters(model.init, *args), config, 0)


def test_as_many_chunks_fit_step_by_step_as_at_once(skills):
    direction = np.random.default_rng(0).normal(size=(2, 1, F)).astype(np.float32)
    latents = 100 * direction * (-1) ** np.arange(17)[:, None].astype(np.float32)  # There and back.
    (expected,) = skills.segment(latents).boundaries
    assert (expected.sum(1) == 7).all()  # A fifth of 32 steps, which it is padded to.
    state = skills.start(2, 17)
    for t in range(17):
        _, state, (told,) = skills.advance(latents[:, t], np.ones(2, bool), state)
        np.testing.assert_array_equal(told.cut, expected[:, t])
    state = skills.restart(state, [True, False])
    _, state, (told,) = skills.advance(latents[:, 1], np.array([True, False]), state)
    assert told.cut[0] and state.count.tolist() == [1, 17]
    with pytest.raises(ValueError, match="restart rows whose sequence ended"):
        skills.advance(latents[:, 1], np.ones(2, bool), state)
    with pytest.raises(ValueError, match=r"ended is of shape \(3,\); this state has 2 rows"):
        skills.restart(state, [True, False, False])
