"""Dataset folders shared by the tests of the loader."""

import threading
from typing import NamedTuple

import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.loading import windows
from data_pipelines.registry import recipe_options


@pytest.fixture(scope="session")
def paired(tmp_path_factory):
    """Two backgrounds with distractors, two cameras: four synchronous datasets. Read only."""
    options = recipe_options(
        "synthetic",
        "--episodes=6",
        "--length=20",
        "--size=16",
        "--distractors=1",
        "--exogenous-pairs",
        "--cameras=2",
    )
    out = tmp_path_factory.mktemp("pairs") / "data"
    prepare("synthetic", out, options)
    return out, options


class Reads(NamedTuple):
    """What was read: (dataset's name, record), and how many frames each decoding was asked for."""

    records: list[tuple[str, int]]
    frames: list[int]


@pytest.fixture
def reads(monkeypatch):
    """The reads of this thread; iterators that are closed finish the batch they read ahead."""
    seen, here = Reads([], []), threading.get_ident()
    clip, decode = windows.ClipReader.clip, windows.Clip.decode_frames

    def counted_clip(self, record):
        if threading.get_ident() == here:
            seen.records.append((self.spec.name, record))
        return clip(self, record)

    def counted_decode(self, offsets, out=None):
        if threading.get_ident() == here:
            seen.frames.append(len(offsets))
        return decode(self, offsets, out)

    monkeypatch.setattr(windows.ClipReader, "clip", counted_clip)
    monkeypatch.setattr(windows.Clip, "decode_frames", counted_decode)
    return seen
