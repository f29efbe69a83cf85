"""`prepare` makes of an exported set the data that it was made from."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.exporters.lerobot.writing import write_lerobot
from data_pipelines.exporters.rlds.writing import write_rlds
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from tests.data_pipelines.exporters.exported import latent_set

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize(
    "recipe, write, options",
    [
        ("lerobot", write_lerobot, ["--size=16", "--action-count=5"]),
        ("rlds", write_rlds, ["--state-key=observation/state"]),
    ],
)
def test_the_data_come_back(square, tmp_path, recipe, write, options):
    write(tmp_path / "set", latent_set(square, tmp_path / "latents", SPLITS))
    given = recipe_options(recipe, f"--source={tmp_path / 'set'}", *options)
    assert prepare(recipe, tmp_path / "data", given)
    for split in SPLITS:
        reading = {"split": split, "batch_size": 500, "fields": ("action", "state", "reward")}
        (mine,), (other,) = (
            list(ordered_batches(path, **reading)) for path in (square, tmp_path / "data")
        )
        for name in ("frames", "action", "state", "reward", "t"):
            np.testing.assert_array_equal(mine[name], other[name])
