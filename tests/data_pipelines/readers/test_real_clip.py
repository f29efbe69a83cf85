"""The clip that lies in the repository: real footage through the reader that others' videos take."""

import re
import shlex
from pathlib import Path

import numpy as np

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options

CLIP = Path(__file__).parents[3] / "docs" / "examples" / "clip"


def test_the_command_beside_the_clip_makes_a_dataset_that_moves(tmp_path):
    text = (CLIP / "README.md").read_text()
    (command,) = re.findall(r"^python -m data_pipelines.prepare videos (.*)$", text, re.MULTILINE)
    flags = {flag.partition("=")[0]: flag for flag in shlex.split(command)}
    assert flags.pop("--source") == "--source=docs/examples/clip" and flags.pop("--out")
    prepare(
        "videos", tmp_path / "data", recipe_options("videos", f"--source={CLIP}", *flags.values())
    )
    info = open_dataset(tmp_path / "data")
    splits = info.manifest["splits"]
    assert {name: of["episodes"] for name, of in splits.items()} == {
        "train": 10,
        "validation": 2,
        "test": 2,
    }
    assert re.search(rf"{info.manifest['transitions']} transitions", text.replace("\n", " "))
    assert abs(info.spec("videos").fps - 26.777) < 0.01
    frames = np.concatenate(
        [batch["frames"] for batch in ordered_batches(tmp_path / "data", (), "train", 64)]
    ).astype(float)
    assert frames.shape[1:] == (2, 64, 64, 3)
    change = np.abs(frames[:, 1] - frames[:, 0]).mean((1, 2, 3))
    assert change.max() > 3 and frames.std((1, 2, 3, 4)).min() > 30  # A picture, and a hand in it.


def test_where_it_is_from_and_how_it_is_licensed_stands_beside_it():
    text = (CLIP / "README.md").read_text()
    for said in ("Apache-2.0", "opencv-doc", "sha256", "changed"):
        assert said in text
    assert sum(file.stat().st_size for file in CLIP.iterdir()) < 300_000
