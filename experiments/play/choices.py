"""What is played and how, by flags that every command which plays a world has."""

import dataclasses
from collections.abc import Callable, Sequence

from absl import flags

from experiments import lam_inputs

flags.disclaim_key_flags()  # Flags defined here belong to the binary that asks for them: --help.


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the flags say; "" and () are defaults. fps: frames per second to begin with."""

    checkpoint: str
    step: int | None = None
    lam: str = ""
    translator: str = ""
    data: str = ""
    datasets: Sequence[str] = ()
    fps: float = 10.0
    starts: int = 12
    transitions: int = 4096


def define_choices(of: str, *, starts: int, most_starts: int) -> Callable[[float], Choices]:
    """Defines the flags, but for the rate, and gives what reads them.

    Args:
      of: what --checkpoint is, for help.      starts, most_starts: default and bound of --starts.
    """
    checkpoint, step, data, datasets = lam_inputs.define_inputs(
        of, "Datasets that starts and the legend come from; default those of the training."
    )
    lam = flags.DEFINE_string(
        "lam",
        "",
        "The latent action model whose codes it obeys; default where the world says it lay.",
    )
    translator = flags.DEFINE_string("translator", "", "Translator that reads codes as actions.")
    count = flags.DEFINE_integer(
        "starts",
        starts,
        "Frames of the data to start from.",
        lower_bound=1,
        upper_bound=most_starts,
    )
    transitions = flags.DEFINE_integer(
        "transitions",
        4096,
        "Transitions of each split that the legend is learned from.",
        lower_bound=1,
    )

    def read(fps: float) -> Choices:
        return Choices(
            checkpoint=lam_inputs.text(checkpoint),
            step=step.value,
            lam=lam_inputs.text(lam),
            translator=lam_inputs.text(translator),
            data=lam_inputs.text(data),
            datasets=lam_inputs.listed(datasets),
            fps=fps,
            starts=count.value,
            transitions=transitions.value,
        )

    return read
