"""Datasets of vectors on the contact sheet: a line says that there are no pictures, curves are drawn."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.plant import recipe
from data_pipelines.tools.contact_sheet import contact_sheet
from data_pipelines.tools.curves import ROWS, curves, first_rows


@pytest.fixture(scope="module")
def options():
    return recipe_options("plant", "--episodes=3", "--length=1100", "--clip-stride=100")


@pytest.fixture(scope="module")
def plant(tmp_path_factory, options):
    out = tmp_path_factory.mktemp("data") / "plant"
    assert prepare("plant", out, options)
    return open_dataset(out)


def test_the_rows_that_are_drawn_are_the_first_of_an_episode(plant, options):
    state, where = first_rows(plant, "tanks")
    (facts,) = plant.episodes("tanks", "train")
    truth = recipe.state_of(options, recipe.shift(options, facts["episode"]))
    assert np.array_equal(state, truth[:ROWS])
    assert where == f"train episode {facts['episode']}, rows 0 to {ROWS - 1}"


def test_curves_have_the_colour_of_what_they_are(plant):
    picture = np.asarray(curves(plant, "tanks", 600)).astype(int)
    assert picture.shape == (16 + 5 * 64, 600, 3)
    rows = [picture[32 + 64 * i : 80 + 64 * i] for i in range(5)]  # below each caption
    dark = [(part.max(axis=2) < 50).any(axis=0).mean() for part in rows]
    red = [((part[..., 0] > 120) & (part[..., 1] < 80)).any(axis=0).mean() for part in rows]
    assert min(dark[:3]) > 0.95 and max(dark[3:]) == 0  # every column of pixels of the levels
    assert max(red[:3]) == 0 and min(red[3:]) > 0.95


def test_the_sheet_holds_the_curves_below_a_line(plant):
    sheet = contact_sheet(plant, 0)
    plot = curves(plant, "tanks", sheet.width)
    assert sheet.height == plot.height + 16
    assert np.array_equal(np.asarray(sheet)[16:], np.asarray(plot))
