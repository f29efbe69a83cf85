"""Progress bars of the binaries."""

from collections.abc import Callable

import tqdm


def progress(name: str, total: int | None) -> Callable[..., None]:
    """A bar with ETA on stderr; returns its tick, which takes the units done (default 1)."""
    bar = tqdm.tqdm(total=total, desc=name, unit="", leave=False, mininterval=0.5)

    def tick(count: int = 1) -> None:
        bar.update(count)
        if total and bar.n >= total:
            bar.close()

    return tick
