"""Datasets with distractors: reproducible, and the plain ones where nothing is added."""

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.distractors.options import Distraction
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.maps import BACKGROUND_MASK
from data_pipelines.format.spec import ActionSpec
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.streams import check_actions, check_distraction
from data_pipelines.tools.validation import validate
from tests.data_pipelines.simulators.lamp import Lamp

LAMP = "tests.data_pipelines.simulators.lamp"
PLAN = ("--plan=push_random=200", "--size=16", "--codec=raw")
ADDED = ("--distractor=agent,sprites,flicker", "--distractor-correlation=0.5")


def lamp_options(*arguments):
    return recipe_options(LAMP, *PLAN, *arguments)


def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same play without distractors, and with two of them."""
    at = tmp_path_factory.mktemp("distracted")
    prepare(LAMP, at / "plain", lamp_options("--cameras=left"))
    options = lamp_options("--cameras=left", *ADDED, "--exogenous-pairs", "--masks")
    prepare(LAMP, at / "pairs", options, engine=Engine(workers=2))
    return at / "plain", at / "pairs"


def whole(folder, name, **more):
    batches = list(ordered_batches(folder, (name,), "train", 64, ("action", "state"), **more))
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def test_options_and_specs_say_what_was_added(folders):
    info = open_dataset(folders[1])
    validate(folders[1])
    assert list(info.datasets) == [
        "push_random_a",
        "push_random_a_exogenous_mask",
        "push_random_b",
        "push_random_b_exogenous_mask",
    ]
    frames, mask = info.datasets["push_random_a"], info.datasets["push_random_b_exogenous_mask"]
    assert frames.camera == "left" and frames.exogenous == "a" and frames.image_shape == (16, 16, 3)
    assert mask.camera == "exogenous_mask" and mask.exogenous == "b"
    assert mask.image_shape == (16, 16, 1) and mask.is_map and mask.is_mask
    assert frames.recording == mask.recording == "push_random"
    assert frames.state_names == ("place", *frames.exogenous_state)
    assert len(frames.exogenous_state) == 6 + 12 + 2
    assert frames.details["distractor"] == {
        "strengths": {"agent": 0.5, "sprites": 0.5, "flicker": 0.5},
        "correlation": 0.5,
        "memory": 0.0,
    }
    plain = open_dataset(folders[0]).datasets["push_random"]
    assert plain.exogenous_state == () and "distractor" not in plain.details
    assert not set(open_dataset(folders[0]).manifest["options"]) & {"distractor", "masks", "maps"}


def test_both_worlds_are_the_plain_play_with_something_else_added(folders):
    plain = whole(folders[0], "push_random")
    a, b = (whole(folders[1], f"push_random_{world}", views=("exogenous_mask",)) for world in "ab")
    for key in ("action", "episode", "t"):
        np.testing.assert_array_equal(a[key], plain[key])
        np.testing.assert_array_equal(b[key], plain[key])
    np.testing.assert_array_equal(a["state"][..., :1], plain["state"])
    np.testing.assert_array_equal(b["state"][..., :1], plain["state"])
    assert (a["state"][..., 1:] != b["state"][..., 1:]).mean() > 0.8
    assert (a["frames"] != b["frames"]).mean() > 0.3


def test_nothing_changes_outside_the_mask_without_flicker(folders, tmp_path):
    options = lamp_options("--cameras=left", "--distractor=agent,sprites", "--masks")
    prepare(LAMP, tmp_path / "one", options)
    plain, one = (
        whole(folders[0], "push_random"),
        whole(tmp_path / "one", "push_random", views=("left", "exogenous_mask")),
    )
    covered = one["frames_exogenous_mask"][..., 0]
    assert set(np.unique(covered)) == {0, 255}
    np.testing.assert_array_equal(one["frames"][covered == 0], plain["frames"][covered == 0])
    assert (one["frames"][covered == 255] != plain["frames"][covered == 255]).any(-1).mean() > 0.9
    np.testing.assert_array_equal(one["frames"], one["frames_left"])


def test_moves_follow_the_actions_as_much_as_they_are_told(tmp_path):
    """Of the sprites, in the records of a dataset: the move to frame t + 1 with the action at t."""
    for chi in (0.0, 1.0):
        options = recipe_options(
            LAMP,
            "--plan=push_random=1000",
            "--size=16",
            "--distractor=sprites",
            f"--distractor-correlation={chi}",
        )
        prepare(LAMP, tmp_path / str(chi), options)
        batch = whole(tmp_path / str(chi), "push_random_left")
        push, move = batch["action"][:, 0, 0], batch["state"][:, 1, 3]  # sprite0_dx
        assert abs(np.corrcoef(push, move)[0, 1] - chi) < 0.1


def test_a_collection_is_the_same_to_the_byte_whoever_makes_it(folders, tmp_path):
    options = lamp_options("--cameras=left", *ADDED, "--exogenous-pairs", "--masks")
    prepare(LAMP, tmp_path / "again", options, engine=Engine(workers=1))
    assert files(tmp_path / "again") == files(folders[1])


def test_a_build_that_was_killed_goes_on_to_the_same_bytes(folders, tmp_path, monkeypatch):
    """Killed while an episode was spooled, when some of its streams were in their place."""
    options = lamp_options("--cameras=left", *ADDED, "--exogenous-pairs", "--masks")
    with monkeypatch.context() as patch:
        patch.setattr("data_pipelines.simulators.collector._remove_after", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(LAMP, tmp_path / "data", options, engine=Engine(workers=1))
    spooled = sorted(tmp_path.glob(".data.partial/.units/*/push_random_b_exogenous_mask/*.npz"))
    assert len(spooled) > 2
    spooled[1].unlink()
    prepare(LAMP, tmp_path / "data", options, engine=Engine(workers=2))
    assert files(tmp_path / "data") == files(folders[1])


def test_all_cameras_show_the_same_distractors(tmp_path):
    options = lamp_options(*ADDED, "--exogenous-pairs")
    prepare(LAMP, tmp_path / "two", options)
    info = open_dataset(tmp_path / "two")
    assert list(info.datasets) == [f"push_random_{w}_{c}" for w in "ab" for c in ("left", "right")]
    left, right = (whole(tmp_path / "two", f"push_random_a_{c}") for c in ("left", "right"))
    np.testing.assert_array_equal(left["state"], right["state"])
    batch = next(
        training_batches({"path": tmp_path / "two", "pair_with": "exogenous"}, seed=0, batch_size=4)
    )
    assert batch["frames_pair"].shape == batch["frames"].shape


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--distractor=rain"], "--distractor is 'rain'; give some of background, agent, sprites"),
        (["--distractor=sprites,sprites"], "each once"),
        (["--distractor=sprites", "--distractor-strength=-0.1"], "strength is '-0.1'.*from 0 to 1"),
        (["--distractor=sprites", "--distractor-strength=1.5"], "strength is '1.5'.*from 0 to 1"),
        (["--distractor=sprites", "--distractor-strength=nan"], "strength is 'nan'"),
        (["--distractor=sprites", "--distractor-strength=big"], "strength is 'big'"),
        (["--distractor=sprites", "--distractor-strength=0.1,0.2"], "one for each of sprites"),
        (["--distractor=sprites", "--distractor-correlation=1.01"], "correlation is 1.01.*0 to 1"),
        (["--distractor=sprites", "--distractor-correlation=-1"], "correlation is -1.0"),
        (["--distractor=sprites", "--distractor-correlation=nan"], "correlation is nan"),
        (["--distractor=sprites", "--distractor-memory=1"], "memory is 1.0.*to less than 1"),
        (["--masks"], "--masks without a distractor; give --distractor"),
        (["--exogenous-pairs"], "--exogenous-pairs without a distractor"),
        (["--distractor-strength=0.3"], "--distractor-strength without a distractor"),
        (["--distractor=sprites", "--masks"], "of one camera, these are left, right; name one"),
        (["--distractor=background", "--cameras=left"], "Lamp does not say where its background"),
    ],
)
def test_what_makes_no_sense_is_refused_with_one_message(arguments, message):
    with pytest.raises(DataError, match=message):
        lamp_options(*arguments)


@pytest.mark.parametrize(
    "action, message",
    [
        (None, "here has no actions to choose from, so no distractor can follow them"),
        (ActionSpec("discrete", ("stay",)), "here has no actions to choose from"),
        (ActionSpec("continuous", ("x",)), "actions x have no bounds"),
    ],
)
def test_actions_that_cannot_be_followed(action, message):
    check_actions(action, Distraction({"sprites": 0.5}), "here")
    with pytest.raises(DataError, match=message):
        check_actions(action, Distraction({"sprites": 0.5}, correlation=0.1), "here")


def test_the_background_of_one_camera_is_not_drawn_behind_another():
    class Far(Lamp):
        maps = (BACKGROUND_MASK,)

    check_distraction(Far, ("left",), (), Distraction({"background": 0.5}))
    check_distraction(Far, ("left", "right"), (), Distraction({"sprites": 0.5}))
    with pytest.raises(DataError, match="of one camera, these are left, right; name one"):
        check_distraction(Far, ("left", "right"), (), Distraction({"background": 0.5}))


def test_options_are_kept_in_one_order():
    one = lamp_options("--distractor=sprites,agent", "--distractor-strength=0.2,0.7")
    assert one["distractor"] == {"agent": 0.7, "sprites": 0.2}
    assert list(one["distractor"]) == ["agent", "sprites"]
