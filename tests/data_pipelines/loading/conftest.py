"""Dataset folders shared by the tests of the loader."""

import pytest

from data_pipelines.conversion.build import prepare
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
