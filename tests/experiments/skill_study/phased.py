"""A recipe of a few episodes with continuous actions and phases, for `prepare` by its dotted path."""

import dataclasses

import numpy as np

from data_pipelines.conversion.spool import write_episode
from data_pipelines.format.spec import ActionSpec, DatasetSpec

DESCRIPTION = "noise, two actions, phases"
LENGTHS = (14, 9, 12, 20, 11, 13)  # frames
SPEC = DatasetSpec(
    name="noise",
    image_shape=(8, 8, 3),
    codec="raw",
    action=ActionSpec("continuous", ("x", "y")),
    has_reward=False,
    state_names=(),
    behaviour="none",
    fps=10.0,
    clip_stride=4,
    max_span=4,
)


def add_arguments(parser):
    parser.add_argument("--phases", type=int, default=1)
    parser.add_argument("--cameras", type=int, default=1)


def options(args):
    return {"phases": args.phases, "cameras": args.cameras}


def specs(options):
    if options["cameras"] == 1:
        return [SPEC]
    return [
        dataclasses.replace(SPEC, name=f"noise_{camera}", camera=str(camera), recording="noise")
        for camera in range(options["cameras"])
    ]


def sources(options):
    return {"generator": "noise"}


def expected_transitions(options):
    return None


def actions(episode):
    """(T, 2), of T = length - 1 steps: the number of the episode, and the step."""
    steps = np.arange(LENGTHS[episode] - 1)
    return np.stack([np.full_like(steps, episode), steps], axis=1).astype(np.float32) / 32


def collect(options, spool, workers, report):
    rng = np.random.default_rng(0)
    for episode, length in enumerate(LENGTHS):
        phases = {
            "stages": [[0, "reach"], [5, "push"]],
            "keyframes": [[0, "a"], [2, "b"], [5, "a"]],
        }
        for spec in specs(options):
            write_episode(
                spool / spec.name,
                spec,
                episode,
                rng.integers(1, 255, (length, 8, 8, 3), dtype=np.uint8),
                action=actions(episode),
                source=f"episode {episode}",
                metadata=phases if options["phases"] else {},
            )
    return []
