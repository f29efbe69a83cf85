"""LIBERO as a simulator: 130 tasks of a robot arm in five suites, most with a scripted expert.

    with SIMULATORS["openvla", "default"](size=256) as simulator:
        simulator.reset(seed=3, task="libero_object_7")

`seed` is the number of the episode: a protocol (protocols.py) makes the start of it. LIBERO places
fixtures (stove, cabinet, rack) in `reset`, no stored state holds them, and what is drawn there
depends on NumPy's global generator and on how many resets came before. So every reset here is
seeded, and forgets those before: then an episode is the same to the bit in any order and process.

Needs `pip install 'flexlam_jax[libero]'`, and a renderer: docs/data/libero.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from data_pipelines.conversion.spool import is_blank
from data_pipelines.errors import DataError
from data_pipelines.readers.libero.labels import ACTION, FPS, GRIPPER, JOINTS
from data_pipelines.simulators.libero import package
from data_pipelines.simulators.libero.definition import Definition, parse_definition
from data_pipelines.simulators.libero.motion import matrix_of
from data_pipelines.simulators.libero.protocols import PROTOCOLS, RECORDING, Protocol, Start
from data_pipelines.simulators.libero.rendering import CAMERAS, RENDERINGS, Pictures
from data_pipelines.simulators.libero.scene import Scene
from data_pipelines.simulators.libero.script import Script
from data_pipelines.simulators.physics import physics
from data_pipelines.simulators.simulator import Simulator, Step, TaskSpec

_RESETS = 100  # tries to place what does not fit together; LIBERO would try for ever


@functools.cache
def definition(suite: str, task: str) -> Definition:
    """Of a task; raises DataError without its file."""
    path = package.definition_file(suite, task)
    if not path.is_file():
        raise DataError(f"{path}: no definition of {suite} {task}; install LIBERO again")
    return parse_definition(path.read_text("utf-8"), str(path))


def _instruction(protocol: Protocol, suite: str, task: str) -> str:
    text = definition(suite, task).language
    # File names of perturbed suites are those of the suites that they are made of.
    perturbed = package.base_suite(suite) != suite
    return text if perturbed else protocol.instruction(task, text)


@functools.cache
def _tasks(protocol: Protocol) -> Mapping[str, TaskSpec]:
    specs = (
        TaskSpec(
            name=f"{suite}_{index}",
            action=ACTION,
            state_names=JOINTS + GRIPPER,
            fps=FPS,
            language=_instruction(protocol, suite, task),
            max_steps=protocol.max_steps(package.base_suite(suite)),
            random_return=0.0,
            expert_return=1.0,
            details={"suite": suite, "task": task, "index": index, "protocol": protocol.name},
        )
        for suite in package.suites()
        for index, task in enumerate(package.task_names(suite))
    )
    return {spec.name: spec for spec in specs}


class Libero(Simulator):
    """LIBERO's tabletop tasks with a simulated Panda arm; an episode ends when its task is solved

    Off-screen renderers of MuJoCo do not survive each other, so one process renders one task.

    protocol: how episodes begin, how long they are and which text they have. pictures: one of
    RENDERINGS. noise: of the scripted expert, standard deviation per direction of a full action.
    """

    cameras = tuple(CAMERAS)
    min_distinct = 0.5
    one_task_per_process = True
    protocol: ClassVar[Protocol] = RECORDING
    pictures: ClassVar[str] = "plain"
    noise: ClassVar[float] = 0.05

    def __init__(self, **settings):
        super().__init__(**settings)
        self._open = ""  # the task that runs
        self._env: Any = None
        self._drawn: Pictures | None = None
        self._script: Script | None = None  # that plays this episode
        self.start: Start | None = None  # of the present episode

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return _tasks(cls.protocol)

    @classmethod
    def sources(cls) -> dict[str, Any]:
        return {"simulator": "libero"} | package.versions()

    def begin(self, seed: int) -> None:
        """Raises DataError for assets that are missing, and a stored state of another scene."""
        suite, task = self.task.details["suite"], self.task.details["task"]
        if self._open != self.task.name:
            self.close()
            self._env, self._open = package.environment(suite, task), self.task.name
        self._stop_drawing()  # a reset makes another model
        states = package.stored_states(suite, task) if self.protocol.fixed_states else ()
        self.start = self.protocol.start(seed, len(states))
        self._seed, self._success, self._script = int(seed), False, None
        self._reset(self.start.env_seed)
        if self.start.init_index is not None:
            self._put(states[self.start.init_index])
        for _ in range(self.protocol.settle_steps):
            self._observation, *_ = self._env.step(np.array(self.protocol.settle_action))

    def _reset(self, seed: int) -> None:
        self._env.object_property_initializers.clear()  # each reset adds some, which draw numbers
        self._env.seed(seed)
        for _ in range(_RESETS):
            try:
                self._observation = self._env.reset()
                return
            except Exception as error:
                if type(error).__name__ != "RandomizationError":  # robosuite's, imported or not
                    raise
        raise DataError(f"{self.task.name}: no placement of its objects in {_RESETS} tries")

    def _put(self, state: np.ndarray) -> None:
        """Sets a stored state (S,): time, positions, velocities."""
        expected = len(self.simulator_state())
        if state.shape != (expected,):
            raise DataError(
                f"{self.task.name}: a stored state has {len(state)} numbers, the scene {expected}; "
                "states and scene are of different versions of LIBERO, install it again"
            )
        self._env.sim.set_state_from_flattened(state)
        self._env.sim.forward()
        self._env._check_success()
        self._env._post_process()
        self._env._update_observables(force=True)
        self._observation = self._env._get_observations()

    def step(self, action: np.ndarray) -> Step:
        """Moves the hand for a twentieth of a second; reward 1 when the task is solved.

        An episode that the scripted expert plays is over, too, when it has nothing left to try.
        """
        with physics(self.task.name):
            self._observation, reward, done, _ = self._env.step(np.clip(action, -1, 1))
        self._success = self._success or bool(done)
        given_up = self._script is not None and self._script.over
        return Step(float(reward), self._success or given_up)

    def frames(self) -> dict[str, np.ndarray]:
        """Raises DataError for a picture that shows nothing."""
        sim = self._env.sim
        if self._drawn is None:
            self._drawn = Pictures(sim.model._model, self.size, self.pictures)
        frames = {camera: self._drawn.draw(sim.data._data, camera) for camera in self.views}
        for camera, frame in frames.items():
            if is_blank(frame):  # else a policy would be blamed for it
                raise DataError(
                    f"{self.task.name}: the renderer is lost, {camera} shows nothing; begin again "
                    "in a fresh process, with MUJOCO_GL=egl or osmesa"
                )
        return frames

    def state(self) -> np.ndarray:
        """Seven joints, radians, and the places of the two fingers, metres."""
        return self.proprio().astype(np.float32)

    def proprio(self) -> np.ndarray:
        """`state` as the simulator has it, float64 (9,)."""
        seen = self._observation
        return np.concatenate([seen["robot0_joint_pos"], seen["robot0_gripper_qpos"]])

    def hand(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the hand is, float64: position (3,), metres, and quaternion (x, y, z, w)."""
        return (
            np.array(self._observation["robot0_eef_pos"]),
            np.array(self._observation["robot0_eef_quat"]),
        )

    def simulator_state(self) -> np.ndarray:
        """float64 (S,): time, positions and velocities, as LIBERO stores states."""
        return np.array(self._env.sim.get_state().flatten())

    def success(self) -> bool:
        return self._success

    def expert(self) -> Script:
        """A script for the task's goal; noise and way-points are a function of the seed.

        Raises DataError for a kind of goal that no script reaches.
        """

        def pose() -> tuple[np.ndarray, np.ndarray]:
            position, quaternion = self.hand()
            return position, matrix_of(quaternion)

        goals = definition(self.task.details["suite"], self.task.details["task"]).goals
        rng = np.random.default_rng([self._seed, 1])
        self._script = Script(Scene(self._env), goals, pose, rng, self.noise)
        return self._script

    def episode_facts(self) -> dict[str, Any]:
        """Where the episode began, its two texts, and of the scripted expert its phases."""
        suite, task = self.task.details["suite"], self.task.details["task"]
        return {
            "suite": suite,
            "language_bddl": definition(suite, task).language,
            "seed": self._seed,
            **dataclasses.asdict(self.start),
            **(self._script.phases if self._script else {}),
        }

    def problem(self) -> tuple[dict[str, str], str]:
        """LIBERO's facts of the task's definition, and its text."""
        suite, task = self.task.details["suite"], self.task.details["task"]
        facts = {
            "problem_name": self._env.parsed_problem["problem_name"],
            "domain_name": "robosuite",
            "language_instruction": definition(suite, task).language,
        }
        return facts, package.definition_file(suite, task).read_text("utf-8")

    def model_xml(self) -> str:
        """The scene of this episode, fixtures included, as MuJoCo's XML."""
        return self._env.sim.model.get_xml()

    def _stop_drawing(self) -> None:
        if self._drawn is not None:
            self._drawn.close()
            self._drawn = None

    def close(self) -> None:
        self._stop_drawing()
        if self._env is not None:
            self._env.close()
            self._env, self._open = None, ""


def _variant(protocol: Protocol, pictures: str) -> type[Libero]:
    """A class of its own, which other processes find by its name in this module."""
    name = f"Libero_{protocol.name}_{pictures}"
    facts = {"protocol": protocol, "pictures": pictures, "rendering": RENDERINGS[pictures]}
    kind = type(name, (Libero,), facts | {"__module__": __name__, "__doc__": Libero.__doc__})
    globals()[name] = kind
    return kind


# (name of a protocol or "recording", one of RENDERINGS) -> the simulator that begins and draws so.
SIMULATORS = {
    (protocol.name, pictures): _variant(protocol, pictures)
    for protocol in (RECORDING, *PROTOCOLS.values())
    for pictures in RENDERINGS
}
