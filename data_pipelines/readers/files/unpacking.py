"""What a compressed piece of somebody's file may unpack to.

Pictures and tensors hardly shrink, so only a piece that was made to fill the memory comes near.
"""

from __future__ import annotations

FREE = 1 << 26  # bytes that anything may unpack to
RATIO = 100  # or so many times its own size, whichever is more


def most_unpacked(compressed: int) -> int:
    """Bytes that `compressed` bytes may unpack to."""
    return max(FREE, RATIO * compressed)
