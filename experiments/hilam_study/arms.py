"""The policies that a study compares: data, nothing runs here.

z^0 are latent actions, z^1 and z^2 the skills of the first and second stage, each held for its chunk.
"""

import dataclasses
from collections.abc import Sequence

from experiments.extract_skills.skills import EQUAL, JUMP, LEARNED, RANDOM

FLEXLAM, FIXED = "flexlam", "fixed_"  # A LAM of K slots that are all kept is FIXED + K.


@dataclasses.dataclass(frozen=True)
class Latents:
    """z^0, the latent actions of a LAM.

    slots: of a Fixed-K model, which keeps all of them in training; 0 for FlexLAM as its preset has it.
    keep: the first slots that are read, 0 for all.
    """

    slots: int = 0
    keep: int = 0

    @property
    def lam(self) -> str:
        return f"{FIXED}{self.slots}" if self.slots else FLEXLAM

    @property
    def name(self) -> str:
        return f"{self.lam}_k{self.keep}" if self.keep else self.lam


@dataclasses.dataclass(frozen=True)
class Arm:
    """One policy, flat or a hierarchy.

    Attributes:
      name: of its folders and in tables.      about: what it is, in words.
      skill: the stage whose skills the high level predicts, 0 for a flat policy.
      pretrained: the stage that policies learn from action-free video before they see an action, 0
        for z^0, None for no such video: then the high level knows the labelled episodes alone.
      cuts: where chunks begin, see extract_skills.      latents: z^0.
      predicted: whether the low level learns by the skills that the high level predicts, as it will
        act, else by those that were found in the video.
      curve: whether it is trained on every share of the demonstrations, else on the largest.
    """

    name: str
    about: str
    skill: int = 0
    pretrained: int | None = None
    cuts: str = LEARNED
    latents: Latents = Latents()
    predicted: bool = True
    curve: bool = False


BAKU, HILAM = "baku", "hilam"
ARMS = (
    Arm(BAKU, "BAKU: flat, from actions alone", curve=True),
    Arm(HILAM, "HiLAM: skills z^2, actions z^0", 2, 0, curve=True),
    Arm("baku_z0", "BAKU after z^0 of video", pretrained=0),
    Arm("baku_z2", "BAKU after z^2 of video", pretrained=2),
    Arm("hilam_none", "HiLAM without action-free video", 2),
    Arm("hilam_found", "HiLAM, low level by skills of the video", 2, 0, predicted=False),
    Arm("hilam_z1_z0", "HiLAM, skills z^1", 1, 0),
    Arm("hilam_z2_z1", "HiLAM, actions z^1", 2, 1),
    Arm("hilam_equal", "chunks of equal length", 2, 0, EQUAL),
    Arm("hilam_jump", "chunks that begin at the largest changes", 2, 0, JUMP),
    Arm("hilam_random", "chunks that begin anywhere", 2, 0, RANDOM),
)


def prefix_name(k: int) -> str:
    """The arm on the first k slots of FlexLAM."""
    return f"hilam_k{k}"


def fixed_name(k: int) -> str:
    """The arm on a LAM of k slots."""
    return f"hilam_fixed{k}"


def prefix_arms(prefixes: Sequence[int]) -> list[Arm]:
    """For each k HiLAM on the first k slots of FlexLAM, and on a LAM of k slots."""
    arms = []
    for k in prefixes:
        arms.append(Arm(prefix_name(k), f"z^0: prefix {k} of FlexLAM", 2, 0, latents=Latents(0, k)))
        arms.append(Arm(fixed_name(k), f"z^0: a LAM of {k} slots", 2, 0, latents=Latents(k)))
    return arms
