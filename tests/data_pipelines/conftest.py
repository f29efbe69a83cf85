"""Dataset folders shared by the tests of this package."""

import pathlib
import shutil

import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options


@pytest.fixture(scope="session")
def square_options():
    """27 frames and stride 8: records that end before, at and after an episode's end."""
    sizes = ("--episodes=12", "--length=27", "--size=16", "--clip-stride=8", "--max-span=4")
    return recipe_options("synthetic", *sizes)


@pytest.fixture(scope="session")
def square(tmp_path_factory, square_options):
    """A synthetic dataset folder; read only."""
    out = tmp_path_factory.mktemp("data") / "square"
    assert prepare("synthetic", out, square_options)
    return out


@pytest.fixture
def copy(square, tmp_path):
    """A copy of the synthetic folder, to be damaged."""
    return pathlib.Path(shutil.copytree(square, tmp_path / "copy"))
