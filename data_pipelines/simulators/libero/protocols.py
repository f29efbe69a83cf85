"""How LIBERO's success rates are measured: three protocols that are in use, as data.

They differ in the start, the time, the pictures and the words, so a rate means little without the
name of its protocol. An episode of any of them is a function of its number: `Protocol.start`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.libero.language import language_of_file_name

# Steps of the longest published demonstration of each suite.
_LONGEST_DEMOS = {
    "libero_spatial": 193,
    "libero_object": 254,
    "libero_goal": 270,
    "libero_10": 505,
    "libero_90": 373,
}
_OPENVLA_HORIZON = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
_OFFICIAL_HORIZON = dict.fromkeys(_LONGEST_DEMOS, 600)
_ZERO = (0.0,) * 7
_OPEN = (0.0,) * 6 + (-1.0,)  # stays and opens the gripper


@dataclasses.dataclass(frozen=True)
class Start:
    """How an episode begins: env.seed(env_seed), reset, then this state; None leaves the reset's."""

    env_seed: int
    init_index: int | None


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity: there are these three
class Protocol:
    """One way to measure success.

    episodes: per task. fixed_states: episode n begins in the benchmark's stored state n, modulo
    their number; else wherever `reset` puts things. env_seed: given to `env.seed` before every
    reset, which places the fixtures, that no stored state holds; None: the episode's number.
    settle_steps, settle_action: played before the policy sees anything. horizon: suite -> steps of
    the policy. size: pixels of a side that are rendered. orientation: how its policies see the
    picture, one of ORIENTATIONS. text: 'file_name' or 'bddl', which differ in 29 of 130 tasks.
    source: where it stands.
    """

    name: str
    source: str
    episodes: int
    fixed_states: bool
    env_seed: int | None
    settle_steps: int
    settle_action: tuple[float, ...]
    horizon: Mapping[str, int]
    size: int
    orientation: str
    text: str

    def start(self, episode: int, states: int) -> Start:
        """Of episode n of a task that has so many stored states."""
        seed = episode if self.env_seed is None else self.env_seed
        return Start(int(seed) % 2**32, episode % states if self.fixed_states else None)

    def max_steps(self, suite: str) -> int:
        """Raises DataError for a suite whose horizon the protocol does not say."""
        if suite not in self.horizon:
            raise DataError(
                f"protocol {self.name} has no horizon for {suite}; it knows "
                f"{', '.join(self.horizon)}"
            )
        return self.horizon[suite]

    def instruction(self, file_name: str, bddl: str) -> str:
        """The text that the policy reads, of the task's file name and its definition's text."""
        return language_of_file_name(file_name) if self.text == "file_name" else bddl

    def to_json(self) -> dict[str, Any]:
        """For result files."""
        return dataclasses.asdict(self)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="official",
            source="LIBERO, libero/lifelong/metric.py and configs/eval/default.yaml",
            episodes=20,
            fixed_states=True,
            env_seed=0,
            settle_steps=5,
            settle_action=_ZERO,
            horizon=_OFFICIAL_HORIZON,
            size=128,
            orientation="upside_down",
            text="file_name",
        ),
        Protocol(
            name="openvla",
            source="OpenVLA, experiments/robot/libero/run_libero_eval.py",
            episodes=50,
            fixed_states=True,
            env_seed=0,
            settle_steps=10,
            settle_action=_OPEN,
            horizon=_OPENVLA_HORIZON,
            size=256,
            orientation="mirrored",
            text="file_name",
        ),
        Protocol(
            name="baku",
            source="BAKU, baku/suite/libero.py and eval.py; the horizon is the longest demonstration",
            episodes=10,
            fixed_states=False,
            env_seed=None,
            settle_steps=0,
            settle_action=_OPEN,
            horizon=_LONGEST_DEMOS,
            size=128,
            orientation="upright",
            text="bddl",
        ),
    )
}
# How demonstrations begin: another stored state and another seed each, and time for second tries.
RECORDING = dataclasses.replace(
    PROTOCOLS["openvla"],
    name="recording",
    source="this package",
    env_seed=None,
    horizon=_OFFICIAL_HORIZON,
)
# Against the upright picture: the renderer's own rows, and the raw picture turned by 180 degrees.
ORIENTATIONS = ("upright", "upside_down", "mirrored")


def find_protocol(name: str) -> Protocol:
    """Raises DataError listing those that exist."""
    if name not in PROTOCOLS:
        raise DataError(f"unknown protocol {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def oriented(frames: np.ndarray, orientation: str) -> np.ndarray:
    """Upright pictures (..., H, W, C) as one of ORIENTATIONS: a view, and its own inverse."""
    turns = {
        "upright": frames,
        "upside_down": frames[..., ::-1, :, :],
        "mirrored": frames[..., ::-1, :],
    }
    return turns[orientation]
