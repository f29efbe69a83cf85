"""The distractors of a dataset, as options of `prepare`: which, how strong, how they move."""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from data_pipelines.distractors.composite import KINDS, columns
from data_pipelines.distractors.video import content_of
from data_pipelines.errors import DataError

STRENGTH = 0.5
_NEED_A_DISTRACTOR = (
    "distractor_strength",
    "distractor_correlation",
    "distractor_memory",
    "distractor_video",
    "exogenous_pairs",
    "masks",
)


@dataclasses.dataclass(frozen=True)
class Distraction:
    """What is added to the frames of a dataset.

    strengths: by kind of distractor, in 0..1, see KINDS for what that means of each. correlation of
    their moves with the actions and memory of their speeds: see moves.py. pairs: every episode with
    two of them, that have nothing to do with each other. masks: recorded as well. video: folder of
    the dataset whose frames are the background, and what it holds; "" for a drawn pattern.
    """

    strengths: Mapping[str, float]
    correlation: float = 0.0
    memory: float = 0.0
    pairs: bool = False
    masks: bool = False
    video: str = ""
    video_content: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of their ground truth, which the state vector holds after its own."""
        return columns(self.strengths)

    @property
    def needs_background(self) -> bool:
        """Whether the renderer must say where far things show."""
        return any(KINDS[kind].needs_background for kind in self.strengths)

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the exogenous processes that every episode is shown with; "" if it is one."""
        return ("a", "b") if self.pairs else ("",)

    def facts(self) -> dict[str, Any]:
        """For the manifest: what was added, in what is said of a dataset."""
        strengths = dict(self.strengths)
        told = {"strengths": strengths, "correlation": self.correlation, "memory": self.memory}
        return told | ({"video": self.video_content} if self.video else {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, all off by default."""
    parser.add_argument(
        "--distractor",
        default="",
        help="what the agent does not control is added to the frames, with its ground truth in the "
        f"state; separated by commas: {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--distractor-strength",
        default=None,
        help=f"0 (nothing shows) to 1, for all or one for each, separated by commas; {STRENGTH} "
        "unless given. " + "; ".join(f"{kind}: {known.scale}" for kind, known in KINDS.items()),
    )
    parser.add_argument(
        "--distractor-correlation",
        type=float,
        default=None,
        help="0: distractors move independently of the agent's actions; 1: as a function of them",
    )
    parser.add_argument(
        "--distractor-memory",
        type=float,
        default=None,
        help="share of a distractor's speed that is left after a frame, 0 to less than 1",
    )
    parser.add_argument(
        "--distractor-video",
        default=None,
        help="a prepared folder whose frames are the background, in place of a drawn pattern",
    )
    parser.add_argument(
        "--exogenous-pairs",
        action="store_true",
        help="every episode twice, with other distractors: datasets <name>_a and <name>_b",
    )
    parser.add_argument(
        "--masks",
        action="store_true",
        help="also where distractors show and, where the renderer knows, the agent: datasets "
        "<name>_exogenous_mask and <name>_agent_mask",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """What of these options decides the content; {} without a distractor.

    Raises DataError for a distractor that does not exist, numbers out of range, and for options of
    distractors without any.
    """
    if not args.distractor:
        alone = [name for name in _NEED_A_DISTRACTOR if getattr(args, name) not in (None, False)]
        if alone:
            flags = ", ".join("--" + name.replace("_", "-") for name in alone)
            raise DataError(
                f"{flags} without a distractor; give --distractor, one or more of {', '.join(KINDS)}"
            )
        return {}
    kinds = [kind.strip() for kind in args.distractor.split(",")]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or len(set(kinds)) < len(kinds):
        raise DataError(
            f"--distractor is {args.distractor!r}; give some of {', '.join(KINDS)}, each once, "
            "separated by commas"
        )
    strengths = dict(zip(kinds, _strengths(args.distractor_strength, kinds), strict=True))
    given: dict[str, Any] = {
        "distractor": {kind: strengths[kind] for kind in KINDS if kind in strengths},
        "distractor_correlation": _share(args, "distractor_correlation", "0 to 1", 1.0),
        "distractor_memory": _share(
            args, "distractor_memory", "0 to less than 1", math.nextafter(1.0, 0.0)
        ),
    }
    if args.distractor_video is not None:
        if "background" not in kinds:
            raise DataError(
                "--distractor-video is shown as the background; give --distractor=background too"
            )
        folder = str(pathlib.Path(args.distractor_video).absolute())
        given["distractor_video"] = {"path": folder, "content": content_of(folder)}
    return given | {name: True for name in ("exogenous_pairs", "masks") if getattr(args, name)}


def distraction(given: Mapping[str, Any]) -> Distraction | None:
    """What a recipe's options ask for; None for nothing."""
    if "distractor" not in given:
        return None
    video = given.get("distractor_video", {"path": "", "content": ""})
    return Distraction(
        given["distractor"],
        given["distractor_correlation"],
        given["distractor_memory"],
        given.get("exogenous_pairs", False),
        given.get("masks", False),
        video["path"],
        video["content"],
    )


def _strengths(text: str | None, kinds: list[str]) -> list[float]:
    if text is None:
        return [STRENGTH] * len(kinds)
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    values = values * len(kinds) if len(values) == 1 else values
    if len(values) != len(kinds) or not all(0 <= value <= 1 for value in values):
        raise DataError(
            f"--distractor-strength is {text!r}; give a number from 0 to 1, or one for each of "
            f"{', '.join(kinds)}, separated by commas"
        )
    return values


def _share(args: argparse.Namespace, name: str, told: str, most: float) -> float:
    value = getattr(args, name)
    if value is None:
        return 0.0
    if not 0 <= value <= most:
        raise DataError(f"--{name.replace('_', '-')} is {value}; give a number from {told}")
    return value
