"""Progress bars of a build. They count finished files, so they work with every engine."""

from __future__ import annotations

import pathlib
import sys
import threading

from tqdm import tqdm

_INTERVAL = 0.5  # seconds between two looks into the folder


class _Stderr:
    """Whatever sys.stderr is when something is written: Beam runs with another one."""

    def __getattr__(self, name: str):
        return getattr(sys.stderr, name)


class Progress:
    """Bars on standard error while the context is open; silent unless `enabled`, or no terminal."""

    def __init__(self, folder: pathlib.Path, enabled: bool):
        self._folder = folder
        self._off = None if enabled else True
        self._bars: list[tuple[tqdm, str]] = []
        self._transitions: tqdm | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        for bar, _ in self._bars:
            bar.close()
        if self._transitions is not None:
            self._transitions.close()

    def expect(self, bundles: int) -> None:
        """A conversion of so many bundles begins (some may be done already)."""
        shared = {"disable": self._off, "file": _Stderr()}
        self._bars = [
            (tqdm(total=bundles, unit=" bundles", desc="convert", **shared), ".units/[0-9]*"),
            (tqdm(unit=" shards", desc="write", **shared), ".shards/*.json"),
        ]

    def expect_transitions(self, total: int | None) -> None:
        """A simulator begins to collect."""
        self._transitions = tqdm(
            total=total, unit=" transitions", desc="collect", disable=self._off
        )

    def add_transitions(self, count: int) -> None:
        self._transitions.update(count)

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        for bar, pattern in self._bars:
            bar.update(sum(1 for _ in self._folder.glob(pattern)) - bar.n)
