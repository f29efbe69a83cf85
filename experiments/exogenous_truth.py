"""What datasets tell of what the agent does not control: columns of the state, masks."""

from typing import NamedTuple

from data_pipelines.format.maps import AGENT_MASK, EXOGENOUS_MASK
from data_pipelines.format.spec import DatasetSpec
from experiments.lam_inputs import Source
from flexlam_jax.errors import UserError


class Truth(NamedTuple):
    """What can be read beside the frames.

    Attributes:
      state_names, exogenous_state: as a dataset's spec has them; () unless all datasets agree.
      masks: cameras of masks of the measured frames.
      why: why there is no exogenous_state, or "".
    """

    state_names: tuple[str, ...] = ()
    exogenous_state: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    why: str = ""

    def check_asked(self) -> None:
        """Raises UserError where leakage was asked for and nothing is known to measure it by."""
        if not self.exogenous_state and EXOGENOUS_MASK not in self.masks:
            raise UserError(
                f"--leakage: {self.why}, and there is no {EXOGENOUS_MASK} beside their frames; choose "
                "data with that ground truth (data_pipelines.prepare with distractors), or leave the "
                "flag out: the rows without labels need none"
            )


def truth_of(source: Source, labelled: Source) -> Truth:
    """What is known of the measured datasets and of those that probes are fitted on."""
    masks = tuple(
        mask
        for mask in (EXOGENOUS_MASK, AGENT_MASK)
        if all(_has(source, source.info.spec(name), mask) for name in source.names)
    )
    both = source.beside(labelled)
    first, *others = (both.info.spec(name) for name in both.names)
    for spec in (first, *others):
        if not spec.exogenous_state:
            what = "which columns of its state the agent does not control"
            return Truth(masks=masks, why=f"dataset {spec.name} does not say {what}")
    for spec in others:
        if (spec.state_names, spec.exogenous_state) != (first.state_names, first.exogenous_state):
            why = (
                f"datasets {first.name} and {spec.name} differ in their states or what is exogenous"
            )
            return Truth(masks=masks, why=why)
    return Truth(first.state_names, first.exogenous_state, masks)


def _has(source: Source, spec: DatasetSpec, mask: str) -> bool:
    """Whether the folder has this mask of the dataset's frames."""
    return any(
        other.camera == mask
        and spec.recording
        and (other.recording, other.exogenous) == (spec.recording, spec.exogenous)
        for other in source.info.datasets.values()
    )
