"""What a verdict calls enough, in one place, each with its reason.

They are conventions, not laws: which label-free rows rank models as labels do is a question to each
kind of data, see docs/exogenous/report.md. A check passes where the whole interval does.
"""

import dataclasses

from flexlam_jax.reports.results import Number

# Of the exogenous change, R^2 of a probe. Below it a code is as good as free of it: a probe with
# thousands of labels finds as much by chance in some thousand transitions. Of the exogenous state
# too; there a code must also tell more than o_t and the action do, interval by interval.
LEAKS = 0.05
# Of the exogenous share. Above it a reader of the code learns more of the world than of the agent.
MOSTLY = 0.5


@dataclasses.dataclass(frozen=True)
class Check:
    """A row that needs no label, and what it has to be.

    Attributes:
      key: of the row.      title: of the row.      value: what the interval must reach.
      most: it must stay below, not above.      digits: shown.      why: what it means if it does not.
    """

    key: str
    title: str
    value: float
    why: str
    most: bool = False
    unit: str = ""
    digits: int = 2

    @property
    def wanted(self) -> str:
        """In words."""
        return f"{'at most' if self.most else 'at least'} {self.value:.{self.digits}f}{self.unit}"

    def passed(self, number: Number) -> bool:
        """Whether the whole interval is on the right side."""
        return number.high <= self.value if self.most else number.low >= self.value


CHECKS = (
    Check(
        "gain",
        "reconstruction above copying o_t",
        0.0,
        "predicting that nothing changes may do as well as this model",
        unit=" dB",
    ),
    Check(
        "delta_psnr",
        "the decoder uses the code (ΔPSNR)",
        0.5,
        "another transition's code may serve nearly as well; 0.5 dB are a tenth of the error",
        unit=" dB",
    ),
    Check(
        "slots_in_use",
        "slots that say something",
        0.5,
        "more than half of the slots nearly always say the same (perplexity below 2)",
    ),
    Check(
        "cut_carried",
        "scene cut: picture carried",
        0.5,
        "the code may have room for most of an unrelated picture, so for whatever moves in a scene",
        most=True,
    ),
    Check(
        "cycle",
        "cycle consistency",
        0.5,
        "what is decoded, encoded again, need not be nearer to the code than half way from any other",
    ),
    Check(
        "transfer",
        "transfer consistency",
        0.5,
        "on another frame the code means something else: it tells of the frame it was read on",
    ),
    Check(
        "additivity",
        "additivity",
        0.5,
        "codes of two steps do not add up; discrete codes need not",
    ),
    Check(
        "reversibility",
        "reversibility",
        0.5,
        "a step back is not minus the step; discrete codes, and actions that cannot be undone, need "
        "not",
    ),
)
