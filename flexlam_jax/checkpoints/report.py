"""Says in one screen how a saved tree differs from the expected one, by parameter path."""

import re
from collections.abc import Mapping
from typing import Any

import jax

from flexlam_jax.errors import CheckpointError
from flexlam_jax.parallel.sharding import path_name

MAX_LINES = 20


def differences(item: str, saved: Any, expected: Any) -> list[str]:
    """One line per parameter that is missing, unexpected, or of another shape or type."""
    have, want = _leaves(saved), _leaves(expected)
    lines = []
    for path in sorted(have.keys() | want.keys()):
        if path not in want:
            lines.append(f"  + {item}: {path} {have[path]} only in the checkpoint")
        elif path not in have:
            lines.append(f"  - {item}: {path} {want[path]} missing in the checkpoint")
        elif have[path] != want[path]:
            lines.append(f"  ! {item}: {path} is {have[path]}, expected {want[path]}")
    return lines


def check_items(
    metadata: Mapping[str, Any],
    step: int,
    items: Mapping[str, Any],
    fingerprints: Mapping[str, int],
    folder: Any,
) -> None:
    """Compares shapes before reading, because Orbax answers a mismatch with pages of handlers.

    Raises:
      CheckpointError: naming the parameters of `items` that the step has not, or not so.
    """
    lines = []
    for name, abstract in items.items():
        if name in fingerprints:
            lines += differences(name, metadata[name].tree, abstract)
        else:
            lines.append(f"  - {name}: not in the checkpoint")
    if lines:
        raise CheckpointError(
            screen(
                f"step {step} in {folder} was saved by another architecture or optimizer:", lines
            )
        )


_REMEDY = (
    "Give the config the run was made with (config.json beside the checkpoints), or another "
    "work directory."
)


def screen(title: str, lines: list[str], remedy: str = _REMEDY) -> str:
    """Title, at most MAX_LINES of `lines`, and what to do."""
    shown = lines[:MAX_LINES]
    if len(lines) > len(shown):
        shown.append(f"  ... and {len(lines) - len(shown)} more")
    return "\n".join([title, *shown, remedy])


def reason(error: BaseException) -> str:
    """What is wrong with a step: the file that could not be read, or the error's first line."""
    told, texts = error, []
    while told is not None:
        texts.append(str(told))
        told = told.__cause__ or told.__context__
    files = [
        file
        for file in re.findall(r'local file "([^"]+)"', "\n".join(texts))
        if not file.endswith("/")
    ]
    if files:
        return f"{files[-1]} is missing, damaged or not readable"
    lines = texts[0].partition("See full TensorStore details")[0].strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.') if lines else 'no message'}"


def _leaves(tree: Any) -> dict[str, str]:
    """{path: "float32(8, 4)"}; list indices and tuple fields read alike, as Orbax stores them."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_name(path): f"{leaf.dtype}{tuple(leaf.shape)}" for path, leaf in flat}
