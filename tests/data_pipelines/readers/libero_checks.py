"""Reads LIBERO folders in tests, and checks pictures against actions."""

import numpy as np

from data_pipelines.readers.libero import recipe
from tests.data_pipelines.readers import robot_files as rf


def options(source, *arguments):
    return rf.parsed(recipe, f"--source={source}", f"--size={rf.SIZE}", *arguments)


def recordings(source, *arguments):
    chosen = options(source, *arguments)
    return [found for item in recipe.plan(chosen).items for found in recipe.read(item, chosen)]


def check_pairs(recording, name, seed=0):
    """Every action leads from its picture to the next one; pictures are upright."""
    pictures = list(recording.frames[name])
    instants = [rf.instant_of(picture, seed) for picture in pictures]
    assert instants == list(range(instants[0], instants[0] + len(pictures)))
    assert all(rf.is_upright(picture) for picture in pictures)
    expected = [rf.action_value(instant) for instant in instants[:-1]]
    np.testing.assert_allclose(recording.action[:, 0], expected, atol=1e-6)
    assert recording.action.dtype == np.float32
    return instants
