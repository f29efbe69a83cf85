"""Three tanks in a row, two pumps, one operator, and flows that nobody controls.

    pump 1 -> [tank 1] <-> [tank 3] <-> [tank 2] <- pump 2
    inflow ->                 |             |
                              v demand      v outlet

Tank i of cross-section A holds a level h_i (m). Water runs between neighbours and out of tank 2 by
Torricelli's law, q = a sign(d) sqrt(2 g |d|) with the difference of levels d:

    A dh_1/dt = pump_1 + inflow - q_13
    A dh_2/dt = pump_2 + q_32 - q_outlet
    A dh_3/dt = q_13 - q_32 - demand

The operator sets the pumps. `inflow` (rain, never negative) and `demand` (what the network draws;
below 0 it feeds back) are Ornstein-Uhlenbeck processes about their means. Demand changes tank 3,
which no pump feeds: a model can tell it from the pumps. Inflow does to tank 1 what pump 1 does:
from the levels alone nobody can.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

PERIOD = 10.0  # seconds between rows; settings and disturbances hold as long
_SUBSTEPS = 5  # of Euler's method in a period; the fastest time constant is about a minute
AREA = 4.0  # m^2, of each tank
TOP = 3.0  # m; what is above runs over
LITRE = 1e-3  # m^3
PUMP = 8.0  # litres per second at full power
OPENING = 1.8e-3  # m^2, of the pipes between tanks and of the outlet
GRAVITY = 9.81
MEAN_DEMAND, STD_DEMAND = 3.0, 2.0  # litres per second
MEAN_INFLOW, STD_INFLOW = 1.0, 0.5
POWERS = (0.0, 0.5, 1.0)  # of a pump, where the operator has a switch
LEVELS = ("level_1", "level_2", "level_3")
DISTURBANCES = ("demand", "inflow")
PUMPS = ("pump_1", "pump_2")
TARGET = 1.0  # m, where the operator wants tanks 1 and 2
HOLD = 12.0  # periods for which a pump is left alone, on average


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a plant is run.

    switched: pumps have three powers, not any from 0 to 1. disturbance: factor of the standard
    deviations of inflow and demand; their means stay. correlation: seconds over which disturbances
    are alike. reaction: probability that a decision follows the level, else the power is drawn.
    sensor_noise: standard deviation of a level as measured, m.
    """

    switched: bool = True
    disturbance: float = 1.0
    correlation: float = 120.0
    reaction: float = 0.5
    sensor_noise: float = 0.001


@dataclasses.dataclass(frozen=True)
class Shift:
    """N instants of a plant, each a period after the one before; all float64.

    levels (N, 3) as measured, m; disturbances (N, 2): demand and inflow, litres per second; powers
    (N, 2) of the pumps, 0 to 1. Row t of disturbances and powers acts from instant t to t + 1.
    """

    levels: np.ndarray
    disturbances: np.ndarray
    powers: np.ndarray


def simulate(rng: np.random.Generator, length: int, settings: Settings) -> Shift:
    """One shift of `length` instants; `rng` decides everything random in it."""
    noise, operator, world = rng.spawn(3)
    disturbances = disturbances_of(world, length, settings)
    level = world.uniform(0.5, 1.5, 3)
    levels, powers = np.zeros((length, 3)), np.zeros((length, 2))
    power = operator.choice(POWERS, 2) if settings.switched else operator.random(2)
    for t in range(length):
        levels[t] = level
        powers[t] = power = decide(operator, power, level[:2], settings)
        level = advance(level, power, disturbances[t])
    levels += settings.sensor_noise * noise.standard_normal(levels.shape)
    return Shift(levels, disturbances, powers)


def disturbances_of(rng: np.random.Generator, length: int, settings: Settings) -> np.ndarray:
    """(length, 2): demand and inflow, litres per second; stationary from the first instant on."""
    kept = math.exp(-PERIOD / settings.correlation)
    steps = rng.standard_normal((length, 2)) * math.sqrt(1 - kept**2)
    process = np.empty((length, 2))
    process[0] = rng.standard_normal(2)
    for t in range(1, length):
        process[t] = kept * process[t - 1] + steps[t]
    scale = settings.disturbance * np.array([STD_DEMAND, STD_INFLOW])
    flows = np.array([MEAN_DEMAND, MEAN_INFLOW]) + scale * process
    flows[:, 1] = np.maximum(flows[:, 1], 0.0)
    return flows


def decide(
    rng: np.random.Generator, power: np.ndarray, level: np.ndarray, settings: Settings
) -> np.ndarray:
    """(2,): the powers from now on; each pump is left alone for HOLD periods on average.

    A decision that follows the level gives less, the more water there is: half power at TARGET.
    """
    touched = rng.random(2) < 1 / HOLD
    follows = rng.random(2) < settings.reaction
    drawn = rng.choice(POWERS, 2) if settings.switched else rng.random(2)
    wanted = np.clip(0.5 + (TARGET - level) / TARGET, 0.0, 1.0)
    if settings.switched:
        wanted = np.round(2 * wanted) / 2
    return np.where(touched, np.where(follows, wanted, drawn), power)


def advance(level: np.ndarray, power: np.ndarray, disturbance: np.ndarray) -> np.ndarray:
    """The levels (3,), m, one period later."""
    h1, h2, h3 = (float(h) for h in level)
    pump1, pump2 = (PUMP * LITRE * float(p) for p in power)
    demand, inflow = (LITRE * float(flow) for flow in disturbance)
    share = PERIOD / _SUBSTEPS / AREA
    for _ in range(_SUBSTEPS):
        q13, q32, out = _pipe(h1 - h3), _pipe(h3 - h2), _pipe(h2)
        h1 = min(max(h1 + share * (pump1 + inflow - q13), 0.0), TOP)
        h2 = min(max(h2 + share * (pump2 + q32 - out), 0.0), TOP)
        h3 = min(max(h3 + share * (q13 - q32 - demand), 0.0), TOP)
    return np.array([h1, h2, h3])


def _pipe(difference: float) -> float:
    """m^3 per second through a pipe between levels that differ by so many m."""
    return math.copysign(OPENING * math.sqrt(2 * GRAVITY * abs(difference)), difference)
