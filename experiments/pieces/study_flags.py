"""What the flags of a command of pieces say; with --fast small defaults stand in for some."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

from experiments import lam_inputs
from flexlam_jax.errors import UserError

Small = Mapping[str, Any]  # name of a flag -> the value that --fast gives where it is not given


def given(flag: flags.FlagHolder, small: Small) -> Any:
    """The value of a flag, items without spaces."""
    if not flag.present and flag.name in small:
        return small[flag.name]
    return lam_inputs.listed(flag) if isinstance(flag.value, list) else flag.value


def ascending(flag: flags.FlagHolder, least: int, small: Small | None = None) -> tuple[int, ...]:
    """Whole numbers in order, each once; raises UserError for others."""
    numbers = lam_inputs.whole_numbers(flag.name, given(flag, small or {}), least)
    return tuple(sorted(set(numbers)))


def check_names(flag: flags.FlagHolder, names: Sequence[str], known: Collection[str]) -> None:
    """Raises UserError for names that are not among the known ones."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"--{flag.name}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
