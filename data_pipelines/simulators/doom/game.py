"""The scenarios of the first dataset, each with actions of its own."""

from __future__ import annotations

from data_pipelines.simulators.doom.engine import DoomGame
from data_pipelines.simulators.doom.experts import EXPERTS
from data_pipelines.simulators.doom.scenarios import SCENARIOS


class Doom(DoomGame):
    """ViZDoom: first-person video with true actions and states; played here, nothing to download"""

    scenarios = SCENARIOS
    experts = EXPERTS
