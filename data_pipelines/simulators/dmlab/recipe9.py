"""`prepare dmlab_sim9`: collects episodes of DeepMind Lab, with IMPALA's nine actions."""

from __future__ import annotations

from data_pipelines.simulators.dmlab.recipe import AMOUNTS
from data_pipelines.simulators.dmlab.simulator import DmLab9
from data_pipelines.simulators.recipe import recipe_of

RECIPE = recipe_of(DmLab9, AMOUNTS)
