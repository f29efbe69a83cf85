"""DeepMind Lab as a simulator.

    python -m data_pipelines.prepare dmlab_sim --plan=rooms_watermaze_sticky=3000 --out=data/lab

Needs the package `deepmind_lab`, which no registry has as a wheel: see docs/data/dmlab.md.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import types
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab.levels import FRAME_SKIP
from data_pipelines.simulators.dmlab.engine_actions import table_vectors
from data_pipelines.simulators.dmlab.levels import (
    PHOTOGRAPHS,
    SUITE,
    has_instruction,
    level_tasks,
)
from data_pipelines.simulators.simulator import Simulator, Step, TaskSpec

PICTURE, INSTRUCTION = "RGB_INTERLEAVED", "INSTR"  # the engine's names
PHOTOGRAPH_FOLDER = "DMLAB_DATASET_PATH"  # environment variable
# Mixed into every seed, as evaluations of IMPALA and DreamerV3 do: worlds of recorded training,
# which has the mixer 0, do not come again.
EVALUATION_MIXER = 0x600D5EED


def import_deepmind_lab() -> types.ModuleType:
    """The engine; raises DataError with the remedy if it cannot be imported."""
    try:
        import deepmind_lab
    except ImportError as error:
        raise DataError(
            f"this needs DeepMind Lab: no package deepmind_lab ({error}); {_remedy()}"
        ) from error
    return deepmind_lab


def _remedy() -> str:
    if importlib.util.find_spec("dmlab_gym") is not None:
        return (
            "dmlab_gym is there, but it does not contain the engine: run `dmlab-gym build`, which "
            "builds and installs deepmind_lab in a container (podman or docker)"
        )
    return (
        "on Linux x86_64 with Python 3.13 run `pip install dmlab-gym`, then `dmlab-gym build`, "
        "which needs podman or docker; else build the pip package of "
        "https://github.com/google-deepmind/lab with Bazel"
    )


class DmLab(Simulator):
    """DeepMind Lab: the levels of DMLab-30 with fifteen actions; played here

    An action is held for four frames of 60 per second. There is no picture after the step that ends
    an episode. Subclasses choose the actions and what scores 1:

    action_table: one of `readers.dmlab.actions`. reference: one of `scores.REFERENCES`.
    """

    cameras = ("player",)
    rendering = "square pictures of the engine, software renderer"
    shows_end = False
    min_distinct = 0.1  # a player who pushes against a wall sees a picture that stands still
    suite = SUITE
    one_task_per_process = True  # the engine's state is global
    action_table: ClassVar[str] = "dreamerv3"
    reference: ClassVar[str] = "human"

    def __init__(self, **settings):
        super().__init__(**settings)
        self._open: str | None = None  # the level that runs
        self._lab: Any = None
        self._vectors: np.ndarray | None = None  # intc (A, 7), what the engine takes
        self._seen: dict[str, Any] | None = None  # None when no episode runs
        self._instruction = ""

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return level_tasks(cls.action_table, cls.reference)

    @classmethod
    def sources(cls) -> dict[str, str]:
        import_deepmind_lab()
        try:
            version = importlib.metadata.version("deepmind_lab")
        except importlib.metadata.PackageNotFoundError:  # on PYTHONPATH, out of Bazel
            version = "unknown"
        return {"simulator": "deepmind_lab", "version": version}

    def begin(self, seed: int) -> None:
        """Raises DataError with the engine's words for a level that does not start."""
        module = import_deepmind_lab()
        self._vectors, self._seen = table_vectors(self.action_table), None
        try:
            if self._open != self.task.name:
                self.close()
                self._lab = self._start(module)
                self._open = self.task.name
            # A C int; without a number of the episode the engine would count them.
            self._lab.reset(episode=0, seed=int(seed) % 2**31)
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"DeepMind Lab does not start {self.task.name} with seed {seed}: {error}"
                + self._photographs()
            ) from error
        self._look()

    def _start(self, module: types.ModuleType) -> Any:
        """The engine with the present level, as it is evaluated."""
        level = self.task.name
        config = {
            "width": str(self.size),
            "height": str(self.size),
            "logLevel": "WARN",
            "allowHoldOutLevels": "true",
            "mixerSeed": str(EVALUATION_MIXER),
        }
        if level in PHOTOGRAPHS and PHOTOGRAPH_FOLDER in os.environ:
            config["datasetPath"] = os.environ[PHOTOGRAPH_FOLDER]
        seen = [PICTURE, INSTRUCTION] if has_instruction(level) else [PICTURE]
        return module.Lab(f"contributed/dmlab30/{level}", seen, config=config, renderer="software")

    def _photographs(self) -> str:
        if self.task.name not in PHOTOGRAPHS:
            return ""
        return (
            f". It shows photographs that are no part of the engine: download them as "
            f"data/brady_konkle_oliva2008/README.md of DeepMind Lab says and name their folder in "
            f"{PHOTOGRAPH_FOLDER}"
        )

    def _look(self) -> None:
        """Reads what the engine shows, once per step: it shows nothing when an episode is over."""
        self._seen = self._lab.observations() if self._lab.is_running() else None
        if self._seen is not None:
            self._instruction = self._seen.get(INSTRUCTION, "")

    def step(self, action: int) -> Step:
        """Holds one action for FRAME_SKIP frames; the reward is their sum."""
        self._shown()
        reward = self._lab.step(self._vectors[int(action)], num_steps=FRAME_SKIP)
        self._look()
        return Step(float(reward), self._seen is None)

    def _shown(self) -> dict[str, Any]:
        """What the engine shows; raises DataError before the first episode and after each."""
        if self._seen is None:
            raise DataError(
                "no episode of DeepMind Lab runs: it was not begun, or its last step was done, "
                "after which there is no picture; call reset(seed, task)"
            )
        return self._seen

    def frames(self) -> dict[str, np.ndarray]:
        return dict.fromkeys(self.views, self._shown()[PICTURE])

    def language(self) -> str:
        """The present instruction, "" in levels without one.

        Levels give a new one whenever an object was collected; it stays readable at the end.
        """
        return self._instruction

    def close(self) -> None:
        if self._lab is not None:
            self._lab.close()
            self._lab = self._open = self._seen = None


class DmLab9(DmLab):
    """DeepMind Lab: the levels of DMLab-30 with IMPALA's nine actions; played here"""

    action_table = "impala"
