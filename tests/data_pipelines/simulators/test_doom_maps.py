"""What ViZDoom's renderer knows of pixels, and what is added behind its scenes."""

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.doom.game import Doom
from data_pipelines.simulators.doom.suite import DoomSuite

PLAN = "--plan=defend_the_center_sticky=300"
MAPS = ("depth", "agent_mask", "background_mask")


def played(views, task="defend_the_center", steps=25):
    """Frames by view, (N, S, S, C), of one seeded episode."""
    rng = np.random.default_rng(1)
    with DoomSuite(size=32, cameras=views) as simulator:
        simulator.reset(4, task)
        seen = [simulator.frames()]
        for _ in range(steps):
            if simulator.step(int(rng.integers(8))).done:
                break
            seen.append(simulator.frames())
    return {view: np.stack([frames[view] for frames in seen]) for view in views}


def test_maps_change_neither_the_pictures_nor_the_game():
    plain, mapped = played(("player",)), played(("player", *MAPS))
    np.testing.assert_array_equal(mapped["player"], plain["player"])
    assert all(mapped[name].shape == (*plain["player"].shape[:3], 1) for name in MAPS)
    assert {name for name in MAPS if set(np.unique(mapped[name])) <= {0, 255}} == set(MAPS[1:])


def test_masks_are_the_weapon_and_what_is_far():
    views = played(("player", *MAPS))
    agent, far, depth = (
        views[name][5:, ..., 0] for name in ("agent_mask", "background_mask", "depth")
    )
    assert (agent > 0).any((1, 2)).all() and agent[:, :10].max() == 0  # from below, in the middle
    assert depth[agent > 0].mean() < 2 < depth[agent == 0].mean()
    assert not ((agent > 0) & (far > 0)).any()
    assert (far[:, -8:] == 0).all() and 0.1 < (far > 0).mean() < 0.8  # never the floor in front
    unarmed = played(("player", "agent_mask"), "my_way_home")
    assert not unarmed["agent_mask"].any()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    at = tmp_path_factory.mktemp("doom")
    added = ("--distractor=background,sprites", "--distractor-strength=1,0.3", "--masks")
    prepare("doom", at / "plain", recipe_options("doom", PLAN), engine=Engine(workers=1))
    options = recipe_options("doom", PLAN, *added, "--maps=depth")
    prepare("doom", at / "added", options, engine=Engine(workers=2))
    return at / "plain", at / "added"


def whole(folder, **more):
    names = ("defend_the_center_sticky",)
    batches = list(ordered_batches(folder, names, "train", 64, ("action", "state"), **more))
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def test_the_background_scrolls_where_it_shows_and_the_rest_is_the_game(folders):
    plain, added = whole(folders[0]), whole(folders[1], views="all")
    for key in ("action", "episode", "t"):
        np.testing.assert_array_equal(added[key], plain[key])
    own = plain["state"].shape[-1]
    np.testing.assert_array_equal(added["state"][..., :own], plain["state"])
    covered = added["frames_exogenous_mask"][..., 0] > 0
    np.testing.assert_array_equal(added["frames"][~covered], plain["frames"][~covered])
    assert (added["frames"][covered] != plain["frames"][covered]).any(-1).mean() > 0.95
    assert 0.2 < covered.mean() < 0.9
    agent = added["frames_agent_mask"][..., 0] > 0
    assert agent.any() and not (agent & covered).any()  # a sprite before the weapon hides it
    spec = open_dataset(folders[1]).datasets["defend_the_center_sticky"]
    assert spec.camera == "player" and spec.exogenous_state[:2] == ("background_x", "background_y")
    assert added["frames_depth"].shape == (*added["frames"].shape[:4], 1)


def test_what_a_suite_and_other_tasks_take():
    options = recipe_options("doom_suite", "--distractor=background", "--exogenous-pairs", "--fast")
    assert options["distractor"] == {"background": 0.5} and options["exogenous_pairs"]
    with pytest.raises(DataError, match="--maps is 'colour'; give some of depth, agent_mask"):
        recipe_options("doom", "--maps=colour")
    with pytest.raises(DataError, match="Doom has no camera colour; cameras: player, depth"):
        Doom(cameras=("colour",))
