"""Dataset folders shared by the tests of this package."""

import argparse

import pytest

from data_pipelines import synthetic
from data_pipelines.build import prepare


def synthetic_options(**changes):
    parser = argparse.ArgumentParser()
    synthetic.add_arguments(parser)
    return synthetic.options(parser.parse_args([])) | changes


@pytest.fixture(scope="session")
def square_options():
    """27 frames and stride 8: records that end before, at and after an episode's end."""
    return synthetic_options(episodes=12, length=27, size=16, clip_stride=8, max_span=4)


@pytest.fixture(scope="session")
def square(tmp_path_factory, square_options):
    """A synthetic dataset folder; read only."""
    out = tmp_path_factory.mktemp("data") / "square"
    assert prepare("synthetic", out, square_options)
    return out
