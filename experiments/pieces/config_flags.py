"""What commands of pieces are told of a preset, as flags take it."""

from collections.abc import Sequence


def with_variants(preset: str, variants: Sequence[str]) -> str:
    """FILE or FILE:variant with more variants."""
    file, _, own = preset.partition(":")
    given = ",".join(filter(None, [own, *variants]))
    return f"{file}:{given}" if given else file


def listed(names: Sequence[str]) -> str:
    """Names as a flag of a config takes them."""
    return str(tuple(names))
