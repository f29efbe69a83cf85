"""The network of behaviour cloning: what it gives, and configs that it refuses."""

import jax
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning

TINY = {
    "image_size": 16,
    "hidden": 8,
    "trunk": {"kind": "frame_stack", "patch": 4, "channels": 8, "coarse": 8, "width": 8},
    "action_names": ("left", "right", "shoot"),
}


def test_one_row_of_logits_for_every_time_or_for_the_last_ones():
    model = build_behaviour_cloning(TINY)
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    variables = jax.jit(model.init)(jax.random.key(0), frames)
    every, last = (
        jax.jit(model.apply, static_argnames="last")(variables, frames, last=n) for n in (0, 1)
    )
    assert every.shape == (2, 4, 3) and every.dtype == np.float32
    np.testing.assert_allclose(last, every[:, -1:], rtol=1e-5, atol=1e-6)
    assert np.abs(every).max() > 0


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"action_names": ()},
            "config.model.action_names is empty; name the actions, or give the data",
        ),
        ({"stacks": 3}, "unknown config key config.model.stacks"),
        ({"hidden": 0}, "config.model.hidden=0 must be at least 1"),
        ({"trunk": {"kind": "lstm"}}, "model.trunk.kind='lstm' is not one of frame_stack"),
        ({"trunk": {"kind": "frame_stack", "depth": 3}}, "unknown config key model.trunk.depth"),
    ],
)
def test_configs_that_it_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        build_behaviour_cloning({**TINY, **change})
