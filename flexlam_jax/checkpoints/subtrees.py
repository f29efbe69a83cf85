"""Parts of parameter trees, named by path: "encoder/blocks", or "" for the whole tree."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def subtree(tree: Any, path: str) -> Any:
    """What lies at `path`, None if there is nothing."""
    for name in filter(None, path.split("/")):
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def with_subtree(tree: Any, path: str, part: Any) -> Any:
    """The tree with `part` at `path`; the one that was given stays as it is."""
    if not path:
        return part
    name, _, rest = path.partition("/")
    tree = dict(tree or {})
    return {**tree, name: with_subtree(tree.get(name), rest, part)}


def split(tree: Any, inside: Callable[[str], bool], path: str = "") -> tuple[Any, Any]:
    """(what is outside, what is inside): two trees that `merge` makes one again.

    Args:
      tree: nested mappings.
      inside: tells of a leaf's path.
    """
    if not isinstance(tree, Mapping):
        return (None, tree) if inside(path) else (tree, None)
    parts = {
        name: split(child, inside, f"{path}/{name}" if path else name)
        for name, child in tree.items()
    }
    outside, taken = (
        {name: part[side] for name, part in parts.items() if part[side] is not None} or None
        for side in (0, 1)
    )
    return outside, taken


def merge(one: Any, other: Any) -> Any:
    """The tree with the leaves of both, which have none in common; None is a tree without."""
    if one is None or other is None:
        return other if one is None else one
    return {
        name: merge(one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys())
    }


def within(path: str, paths: Sequence[str]) -> bool:
    """Whether a path is one of `paths` or lies below one of them."""
    return any(not top or path == top or path.startswith(f"{top}/") for top in paths)


def children(tree: Any, path: str) -> str:
    """For messages about a path that is not there: what lies where it leaves the tree."""
    found = ""
    for name in filter(None, path.split("/")):
        if not isinstance(subtree(tree, f"{found}/{name}"), Mapping):
            break
        found = f"{found}/{name}".strip("/")
    names = subtree(tree, found) or {}
    return f"{found or 'it'} has {', '.join(sorted(names)) or 'nothing'}"
