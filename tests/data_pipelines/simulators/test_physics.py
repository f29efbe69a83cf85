"""Which errors of a step lose an episode."""

import numpy as np
import pytest

from data_pipelines.simulators.physics import physics
from data_pipelines.simulators.simulator import EpisodeLost

ENGINES = type("FatalError", (Exception,), {"__module__": "mujoco"})("bad\n state")


@pytest.mark.parametrize(
    "error", [ENGINES, FloatingPointError("nan"), np.linalg.LinAlgError("no convergence")]
)
def test_what_the_engine_raises_loses_the_episode(error):
    with pytest.raises(EpisodeLost, match="^stack: the physics broke") as raised, physics("stack"):
        raise error
    assert "\n" not in str(raised.value) and raised.value.__cause__ is error


def test_other_errors_come_out_as_they_are():
    with pytest.raises(KeyError), physics("stack"):
        raise KeyError("action")
