"""How loud each distractor is in ViZDoom's scenarios, and how long it takes to draw.

    python -m data_pipelines.benchmark_distractors [--episodes=8] [--strengths=0.25,0.5,1]

Loudness is the mean square of what a distractor adds to the change from one frame to the next, over
that of the change which the scene shows without it, under sticky play: at 1 a model that
reconstructs the next frame gains as much by the distractor as by the scene. Prints JSON rows;
`draw_us` is the processor's time per frame of 64 pixels, the rendering of masks apart.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from data_pipelines.distractors.composite import KINDS, Distracted, distract, distractors
from data_pipelines.distractors.moves import Moves
from data_pipelines.format.maps import BACKGROUND_MASK

SIZE = 64


def loudness(frames: np.ndarray, distracted: np.ndarray) -> tuple[float, float]:
    """Mean squares of the change that the scene shows, and of what is added to it; both of frames
    uint8 (N, S, S, 3)."""
    own, seen = (np.diff(each.astype(np.float32), axis=0) for each in (frames, distracted))
    return float(np.square(own).mean()), float(np.square(seen - own).mean())


def measure(
    episodes: list[tuple[np.ndarray, np.ndarray]], kind: str, strength: float
) -> dict[str, float]:
    """Of one distractor over episodes (frames (N, S, S, 3), background mask (N, S, S, 1))."""
    changes, drawn, frames_in_all = [], 0.0, 0
    for number, (frames, far) in enumerate(episodes):
        moves = Moves(np.zeros((len(frames) - 1, 2)))
        start = time.process_time()
        shown: Distracted = distract(
            frames, distractors(moves, frames.shape[1], {kind: strength}, (number,)), far
        )
        drawn += time.process_time() - start
        frames_in_all += len(frames)
        changes.append(loudness(frames, shown.frames))
    own, added = np.mean(changes, axis=0)
    return {
        "loudness": round(float(added / own), 3),
        "draw_us": round(1e6 * drawn / frames_in_all, 1),
    }


def played(task: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The episodes of `measure`: sticky play of the seeds 0, 1, ..., without those that end early."""
    # The simulator is an optional dependency.
    from data_pipelines.simulators.behaviours import BEHAVIOURS
    from data_pipelines.simulators.doom.game import Doom
    from data_pipelines.simulators.rollout import rollout

    sticky, episodes = BEHAVIOURS["sticky"], []
    with Doom(size=SIZE, cameras=("player", BACKGROUND_MASK)) as simulator:
        for seed in range(count):
            simulator.reset(seed, task)
            agent = sticky.make(simulator, np.random.default_rng(seed))
            episode = rollout(
                simulator, agent, max_steps=sticky.max_steps, skip_steps=sticky.skip_steps
            )
            if episode is not None:
                episodes.append((episode.frames["player"], episode.frames[BACKGROUND_MASK]))
    return episodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=8, help="of each scenario")
    parser.add_argument("--strengths", default="0.25,0.5,1", help="separated by commas")
    args = parser.parse_args()
    from data_pipelines.simulators.doom.game import Doom

    for task in Doom.tasks():
        episodes = played(task, args.episodes)
        for kind in KINDS:
            for strength in map(float, args.strengths.split(",")):
                row = {"task": task, "distractor": kind, "strength": strength}
                print(json.dumps(row | measure(episodes, kind, strength)), flush=True)


if __name__ == "__main__":
    main()
