"""One episode: an agent acts in a simulator, and what both did is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data_pipelines.conversion.spool import is_blank
from data_pipelines.errors import DataError
from data_pipelines.simulators.simulator import Agent, Simulator


@dataclasses.dataclass(frozen=True)
class Episode:
    """N instants and the N - 1 steps between them.

    frames: camera -> uint8 (N, S, S, 3); action (N-1, ...), as the agent asked; reward float32
    (N-1,); state float32 (N, S'). episode_return: sum over all steps taken, recorded or not. done:
    the simulator ended it. metadata: task, language and success, where the simulator knows of
    language or success.
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
    """
    frames, total, done = simulator.frames(), 0.0, False
    spec = simulator.task.action
    for _ in range(skip_steps):
        reward, done = simulator.step(np.asarray(agent(frames), spec.dtype)[()])
        total += reward
        if done:
            return None
        frames = simulator.frames()
    views, states, actions, rewards = [frames], [simulator.state()], [], []
    while not done and (not max_steps or len(actions) < max_steps):
        action = np.asarray(agent(frames), spec.dtype)[()]  # what is recorded is what was done
        reward, done = simulator.step(action)
        total += reward
        if done and not simulator.shows_end:
            break
        frames = simulator.frames()
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


def _metadata(simulator: Simulator) -> dict[str, Any]:
    language, success = simulator.language(), simulator.success()
    known: dict[str, Any] = {"language": language} if language else {}
    known |= {} if success is None else {"success": bool(success)}
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
