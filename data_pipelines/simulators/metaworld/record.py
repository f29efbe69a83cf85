"""Records Meta-World's scripted experts into the HDF5 layout of episodes.py.

    MUJOCO_GL=egl python -m data_pipelines.simulators.metaworld.record --task=door-open-v3 --episodes=10 \
        --out=raw/metaworld/door-open-v3.hdf5

Needs `pip install metaworld "mujoco<4" packaging`. One task and camera per process: when one
off-screen renderer is closed, another in the same process may return black frames without an error.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.optional import require

TURNED = ("corner", "corner2", "corner3")  # cameras that Meta-World mounts upside down
MIN_STD = 5.0  # of the pixels of a frame; a lost renderer gives 0
MIN_DISTINCT = 0.5  # share of frames that differ from all others


def record_episode(
    reset: Callable[[], np.ndarray],
    step: Callable[[np.ndarray], tuple[np.ndarray, float, bool, bool]],
    render: Callable[[], np.ndarray],
    act: Callable[[np.ndarray], np.ndarray],
    max_steps: int,
) -> dict[str, Any]:
    """One episode until success, the end, or `max_steps`.

    reset() -> observation (39,); step(action) -> (observation, reward, ended, success); render() ->
    uint8 (H, W, 3); act(observation) -> action (4,). Returns frames (T, H, W, 3), state (T, 39),
    action (T-1, 4) as asked for (the environment clips), reward (T-1,), success. Raises DataError
    for blank or repeated frames.
    """
    states, frames, actions, rewards, success = [reset()], [render()], [], [], False
    while not success and len(actions) < max_steps:
        actions.append(np.asarray(act(states[-1]), np.float32))
        state, reward, ended, success = step(actions[-1])
        states.append(state)
        frames.append(render())
        rewards.append(reward)
        if ended:
            break
    check_frames(frames)
    return {
        "frames": np.stack(frames),
        "state": np.stack(states).astype(np.float32),
        "action": np.stack(actions),
        "reward": np.asarray(rewards, np.float32),
        "success": success,
    }


def check_frames(frames: list[np.ndarray]) -> None:
    """Raises DataError if the renderer was lost."""
    lowest = min(float(frame.std()) for frame in frames)
    distinct = len({frame.tobytes() for frame in frames})
    if lowest < MIN_STD or distinct < MIN_DISTINCT * len(frames):
        raise DataError(
            f"the renderer is lost: {distinct} of {len(frames)} frames differ, lowest contrast "
            f"{lowest:.1f}; record in a fresh process, and set MUJOCO_GL to egl or osmesa"
        )


def write_task(
    path: pathlib.Path, episodes: Iterable[dict[str, Any]], camera: str, **attributes: Any
) -> int:
    """Writes the file at once when all `episodes` are there; returns their number."""
    h5py = require("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    count = 0
    try:
        with h5py.File(partial, "w") as file:
            file.attrs.update(attributes)
            for count, episode in enumerate(episodes, start=1):
                group = file.create_group(f"episode_{count - 1}")
                group.attrs["success"] = bool(episode["success"])
                for name in ("state", "action", "reward"):
                    group[name] = episode[name]
                frames = episode["frames"]
                group.create_dataset(
                    f"frames/{camera}",
                    data=frames,
                    chunks=(min(16, len(frames)), *frames.shape[1:]),
                    compression="gzip",
                )
        os.replace(partial, path)
    finally:
        pathlib.Path(partial).unlink(missing_ok=True)
    return count


def simulator(task: str, camera: str, size: int, seed: int):
    """(reset, step, render, act) of a task and its scripted expert, and its frames per second."""
    try:
        import gymnasium
        import metaworld  # noqa: F401  registers the environments
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError as error:
        raise DataError(
            f"recording needs Meta-World ({error}); run "
            f"`pip install metaworld 'mujoco<4' packaging`"
        ) from error
    if task not in ENV_POLICY_MAP:
        raise DataError(f"--task={task}: unknown; tasks: {', '.join(sorted(ENV_POLICY_MAP))}")
    env = gymnasium.make(
        "Meta-World/MT1",
        env_name=task,
        seed=seed,
        render_mode="rgb_array",
        camera_name=camera,
        width=size,
        height=size,
        disable_env_checker=True,
    )

    def step(action):
        state, reward, terminated, truncated, info = env.step(action)
        return state, float(reward), terminated or truncated, bool(info["success"])

    def render():
        frame = env.render()
        return np.ascontiguousarray(np.rot90(frame, 2) if camera in TURNED else frame)

    functions = (lambda: env.reset()[0], step, render, ENV_POLICY_MAP[task]().get_action)
    return functions, float(env.unwrapped.metadata["render_fps"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", required=True, help="door-open-v3, ...")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="file to write, *.hdf5")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--camera", default="corner2")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    functions, fps = simulator(args.task, args.camera, args.size, args.seed)
    episodes = (record_episode(*functions, args.max_steps) for _ in range(args.episodes))
    count = write_task(args.out, episodes, args.camera, task=args.task, fps=fps, seed=args.seed)
    print(f"{args.out}: {count} episodes")


if __name__ == "__main__":
    main()
