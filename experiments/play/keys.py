"""Which keys play an action, by what its name says: arrows, WASD, space.

An action is a set of directions: "FL" and "forward_left" are up and left. The page holds a set of
pressed keys, which plays the action with those directions.
"""

import re

_WORDS = {
    "up": ("f", "forward", "forwards", "up", "north", "w", "ahead"),
    "down": ("b", "back", "backward", "backwards", "down", "south"),
    "left": ("l", "left", "west"),
    "right": ("r", "right", "east"),
    "strafe_left": ("sl",),
    "strafe_right": ("sr",),
    "fire": ("a", "attack", "fire", "shoot", "jump", "use"),
}
_DIRECTION = {word: direction for direction, words in _WORDS.items() for word in words}
_STILL = ("noop", "no-op", "n", "none", "idle", "stay", "wait", "stop", "still", "nothing")
_FILLERS = ("move", "turn", "walk", "go", "look", "step", "key", "and", "the")
_STRAFES = ("strafe", "slide", "sidestep")


def keys_of(names: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """The directions of every action, empty where its name tells none.

    Of two actions with the same directions the first has them: one set of keys plays one action.
    Without actions that strafe, nothing is lost: left and right are then played by A and D too.
    """
    found: dict[str, frozenset[str]] = {}
    for name in names:
        directions = _directions(name)
        found[name] = frozenset() if directions in found.values() else directions
    return found


def still_action(names: tuple[str, ...]) -> str:
    """The action that is called so that it is none, "" where there is none."""
    return next((name for name in names if _plain(name) in _STILL), "")


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace(" ", "")


def _directions(name: str) -> frozenset[str]:
    """Of a name that is made of known words, or of single letters; else none."""
    words = [word for word in re.split(r"[\s_+\-/,]+", name.lower()) if word]
    strafes = any(word in _STRAFES for word in words)
    words = [word for word in words if word not in (*_FILLERS, *_STRAFES)]
    if len(words) == 1 and words[0] not in _DIRECTION and len(words[0]) <= 3:
        words = list(words[0])  # "FL"
    if not words or any(word not in _DIRECTION for word in words):
        return frozenset()
    told = {_DIRECTION[word] for word in words}
    return frozenset(f"strafe_{d}" if strafes and d in ("left", "right") else d for d in told)
