"""One episode: an agent acts in a simulator, and what both did is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data_pipelines.conversion.spool import is_blank
from data_pipelines.errors import DataError
from data_pipelines.simulators.simulator import Agent, Frames, Simulator

# Steps of an episode without a bound: who plays longer gives the task max_steps, and pictures of
# a task that never ends do not fill the memory.
LONGEST = 50_000


@dataclasses.dataclass(frozen=True)
class Episode:
    """N instants and the N - 1 steps between them.

    frames: camera -> uint8 (N, S, S, 3); action (N-1, ...), as the agent asked; reward float32
    (N-1,); state float32 (N, S'). episode_return: sum over all steps taken, recorded or not. done:
    the simulator ended it. metadata: task, language, success and further facts, where the simulator
    knows of any.
    """

    frames: dict[str, np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    state: np.ndarray
    episode_return: float
    done: bool
    metadata: dict[str, Any]

    @property
    def length(self) -> int:
        return len(self.state)


def rollout(
    simulator: Simulator, agent: Agent, *, max_steps: int = 0, skip_steps: int = 0
) -> Episode | None:
    """Plays the episode that `simulator.reset` began until it is done or has max_steps (0: no
    bound) recorded steps.

    The first skip_steps are played, not recorded; None if the episode ended among them. Of a
    simulator that shows nothing after the last step, that step is in the return only.

    Raises DataError for an action that the task does not have, a camera without a picture, and an
    episode without a bound that does not end in LONGEST steps.
    """
    frames, total, done = pictures(simulator), 0.0, False
    spec = simulator.task.action
    for _ in range(skip_steps):
        reward, done = simulator.step(chosen_action(simulator, agent, frames))
        total += reward
        if done:
            return None
        frames = pictures(simulator)
    views, states, actions, rewards = [frames], [simulator.state()], [], []
    while not done and (not max_steps or len(actions) < max_steps):
        if len(actions) >= LONGEST and not max_steps:
            raise DataError(
                f"{simulator.task.name}: an episode did not end in {LONGEST} steps; give the "
                "task's TaskSpec max_steps"
            )
        action = chosen_action(simulator, agent, frames)  # what is recorded is what was done
        reward, done = simulator.step(action)
        total += reward
        if done and not simulator.shows_end:
            break
        frames = pictures(simulator)
        actions.append(action)
        rewards.append(reward)
        views.append(frames)
        states.append(simulator.state())
    return Episode(
        frames={camera: np.stack([view[camera] for view in views]) for camera in simulator.views},
        action=np.array(actions, spec.dtype).reshape(-1, *spec.shape),
        reward=np.array(rewards, np.float32),
        state=np.stack(states),
        episode_return=total,
        done=done,
        metadata=_metadata(simulator),
    )


def pictures(simulator: Simulator) -> Frames:
    """The present pictures, of every camera that the simulator was made with.

    Raises DataError where one is missing.
    """
    frames = simulator.frames()
    missing = [camera for camera in simulator.views if camera not in frames]
    if missing:
        raise DataError(
            f"{simulator.task.name}: frames() of {type(simulator).__name__} gives no picture of "
            f"camera {', '.join(missing)}; it must give one of every camera in views"
        )
    return frames


def chosen_action(simulator: Simulator, agent: Agent, frames: Frames) -> Any:
    """What the agent does now; a float out of bounds is the simulator's to clip.

    Raises DataError for an action that the task does not have.
    """
    spec = simulator.task.action
    action = np.asarray(agent(frames), spec.dtype)
    wrong = action.shape != spec.shape or (spec.kind == "discrete" and spec.fault(action))
    if wrong or not np.isfinite(action).all():
        expected = (
            f"a number from 0 to {spec.count - 1}"
            if spec.kind == "discrete"
            else f"{spec.count} finite numbers"
        )
        raise DataError(
            f"{simulator.task.name}: the agent gave action {action.tolist()}, expected {expected}"
        )
    return action[()]


def _metadata(simulator: Simulator) -> dict[str, Any]:
    language, success = simulator.language(), simulator.success()
    known: dict[str, Any] = {"language": language} if language else {}
    known |= {} if success is None else {"success": bool(success)}
    known |= simulator.episode_facts()
    return {"task": simulator.task.name} | known if known else {}


def check_renderer(frames: np.ndarray, min_distinct: float, where: str) -> None:
    """Raises DataError if an episode's frames (N, H, W, 3) say that the renderer died.

    Off-screen renderers die silently: pictures are black, or stay as they are, from then on.
    min_distinct: share of the frames that differ from all others while it lives.
    """
    distinct = len({frame.tobytes() for frame in frames})
    if is_blank(frames[-1]) or distinct < min_distinct * len(frames):
        raise DataError(
            f"{where}: the renderer is lost: {distinct} of {len(frames)} frames differ, the last one "
            f"has contrast {float(frames[-1].std()):.1f}. Start again in a fresh process, with "
            "MUJOCO_GL=egl or osmesa where MuJoCo draws; a simulator whose pictures may stand still "
            "sets a smaller min_distinct"
        )
