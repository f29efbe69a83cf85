"""Which sequences are measured: planted ones, or recorded ones, over seeds."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from absl import flags

from experiments import lam_inputs
from experiments.skill_study.planted import PLANTED, planted
from experiments.skill_study.recorded import recorded
from experiments.skill_study.sequences import SPLITS, Sequences, normalised
from flexlam_jax.errors import UserError

_PLANTED = "planted"
_FAST_COUNTS = dict.fromkeys(SPLITS, 8)
flags.disclaim_key_flags()  # Flags defined here belong to the binary that asks for them: --help.


@dataclasses.dataclass(frozen=True)
class Source:
    """The sequences of a study.

    Attributes:
      sequences: "planted", or a dataset folder with phases.
      latents: folder of latent actions of that dataset; "" for its true actions.
      seeds: of training, and of planted sequences.
      fast: a smoke run.
    """

    sequences: str
    latents: str
    seeds: tuple[int, ...]
    fast: bool

    @property
    def planted(self) -> bool:
        return self.sequences == _PLANTED

    @property
    def kinds(self) -> dict[str, str]:
        """{name: what they are} of each kind of sequences, as tables name them."""
        if self.planted:
            return {kind.name: kind.about for kind in PLANTED}
        if self.latents:
            return {"latents": "latent actions of recorded episodes"}
        return {"actions": "true actions of recorded episodes"}

    def sets(self) -> Iterator[tuple[str, int, dict[str, Sequences]]]:
        """(kind, seed, splits) of everything that is fitted; all of equal shapes.

        Raises:
          DataError: as `recorded`.
        """
        if self.planted:
            for kind in PLANTED:
                for seed in self.seeds:
                    splits = planted(kind, seed, *([_FAST_COUNTS] if self.fast else []))
                    yield kind.name, seed, normalised(splits)
            return
        splits = normalised(recorded(self.sequences, self.latents))
        (kind,) = self.kinds
        yield from ((kind, seed, splits) for seed in self.seeds)

    def told(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)

    def flags(self) -> tuple[str, ...]:
        """As `define_flags` reads them."""
        given = [f"--sequences={self.sequences}", f"--seeds={','.join(map(str, self.seeds))}"]
        given += [f"--latents={self.latents}"] if self.latents else []
        return (*given, *(["--fast"] if self.fast else []))


class SourceFlags(NamedTuple):
    """The flags that say which sequences are measured."""

    sequences: flags.FlagHolder
    latents: flags.FlagHolder
    seeds: flags.FlagHolder
    fast: flags.FlagHolder

    def read(self) -> Source:
        """Raises UserError for seeds that are none, and latents of planted sequences."""
        source = Source(
            lam_inputs.text(self.sequences),
            lam_inputs.text(self.latents),
            lam_inputs.whole_numbers("seeds", lam_inputs.listed(self.seeds), 0),
            self.fast.value,
        )
        if source.planted and source.latents:
            raise UserError(
                f"--latents={source.latents} without --sequences: give the dataset folder that the "
                "latent actions are of"
            )
        return source


def define_flags() -> SourceFlags:
    """The flags --sequences, --latents, --seeds and --fast."""
    return SourceFlags(
        flags.DEFINE_string(
            "sequences",
            _PLANTED,
            "planted, or a dataset folder whose episodes have phases: their actions are cut.",
        ),
        flags.DEFINE_string(
            "latents", "", "Latent actions of that folder, which are cut instead of its actions."
        ),
        flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of training and of planted sequences."),
        flags.DEFINE_bool("fast", False, "A smoke run: every part works, nothing is learned."),
    )
