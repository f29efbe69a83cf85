"""Masks beside frames: views of one channel, never taken for frames, resized as masks."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic
from data_pipelines.tools.validation import validate

MASKS = ("agent_mask", "exogenous_mask")


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """Two backgrounds with distractors, each with both masks: six synchronous datasets."""
    options = recipe_options(
        "synthetic",
        "--episodes=6",
        "--length=20",
        "--size=16",
        "--distractors=2",
        "--exogenous-pairs",
        "--masks",
        "--codec=jpeg",
    )
    out = tmp_path_factory.mktemp("masks") / "data"
    prepare("synthetic", out, options)
    return out, options


def first(config, **more):
    iterator = training_batches(config | more, seed=0, batch_size=24)
    batch = next(iterator)
    iterator.close()
    return batch, iterator.datasets


def test_masks_are_lossless_and_stand_beside_the_frames_of_their_own_world(masked):
    folder, options = masked
    validate(folder)
    info = open_dataset(folder)
    assert list(info.datasets) == [
        f"square_{world}{name}" for world in "ab" for name in ("", "_agent_mask", "_exogenous_mask")
    ]
    assert {spec.codec for spec in info.datasets.values()} == {"jpeg", "zstd"}
    batch, names = first({"path": str(folder), "views": MASKS, "gap": (1, 3)})
    assert names == ("square_a", "square_b")  # no mask is read as frames where none is named
    assert batch["frames"].shape == (24, 2, 16, 16, 3)
    streams = synthetic.streams(options)
    for i in range(24):
        world, camera = streams[names[batch["dataset"][i]]]
        assert camera == "top"
        times = batch["t"][i] + batch["gap"][i] * np.arange(2)
        for mask in MASKS:
            expected = synthetic.episode(options, int(batch["episode"][i]), world, mask)[0][times]
            assert expected.any() or mask == "exogenous_mask"
            np.testing.assert_array_equal(batch[f"frames_{mask}"][i], expected)


def test_masks_say_what_the_frames_show(masked):
    """Where neither mask is set, only the still background shows; where both are known, the state
    tells the place."""
    _, options = masked
    for i in range(3):
        frames, _, _, state = synthetic.episode(options, i, "a", "top")
        agent, exogenous = (synthetic.episode(options, i, "a", mask)[0][..., 0] for mask in MASKS)
        assert not (agent & exogenous).any()
        still = (agent[1:] | agent[:-1] | exogenous[1:] | exogenous[:-1]) == 0
        np.testing.assert_array_equal(frames[1:][still], frames[:-1][still])
        spec = synthetic.specs(options)[0]
        place = dict(zip(spec.state_names, state.T, strict=True))
        for t in range(len(frames)):
            assert agent[t, int(place["y"][t]), int(place["x"][t])] == 255
            corner = int(place["distractor1_y"][t]), int(place["distractor1_x"][t])
            assert (agent | exogenous)[t][corner] == 255
        move = place["distractor1_x"][1:] - place["distractor1_x"][:-1]
        np.testing.assert_array_equal((move - place["distractor1_dx"][1:]) % 16, 0)


def test_equal_masks_in_two_splits_are_no_leak(masked, tmp_path, monkeypatch):
    """As those of a weapon that is fired in two episodes."""
    original = synthetic.episode

    def one_mask(options, i, world, camera):
        frames, *labels = original(options, i, world, camera)
        return (original(options, 0, world, camera)[0] if camera in MASKS else frames), *labels

    monkeypatch.setattr(synthetic, "episode", one_mask)
    prepare("synthetic", tmp_path / "data", masked[1])
    masks = [
        {
            row.tobytes()
            for batch in ordered_batches(tmp_path / "data", ("square_a_agent_mask",), split, 8)
            for row in batch["frames"]
        }
        for split in ("train", "test")
    ]
    assert masks[0] == masks[1]  # of frames, a leak
    assert validate(tmp_path / "data")["episodes"] == 6 * 6


def test_pairs_are_frames_and_masks_all_views(masked):
    folder = masked[0]
    batch, _ = first({"path": str(folder), "pair_with": "exogenous", "views": "all"})
    assert batch["frames_pair"].shape == (24, 2, 16, 16, 3)
    assert [key for key in batch if key.startswith("frames_")] == [
        "frames_pair",
        "frames_top",
        "frames_agent_mask",
        "frames_exogenous_mask",
    ]
    with pytest.raises(DataError, match="square_a has no synchronous dataset with another camera"):
        first({"path": str(folder), "pair_with": "camera"})


@pytest.mark.parametrize("size", [8, 12, 24])
def test_resized_masks_stay_masks(masked, size):
    config = {"path": str(masked[0]), "views": MASKS, "resize": True, "image_size": size}
    batch, _ = first(config)
    whole, _ = first({"path": str(masked[0]), "views": MASKS})
    for mask in MASKS:
        small, large = batch[f"frames_{mask}"], whole[f"frames_{mask}"]
        assert small.shape == (24, 2, size, size, 1) and set(np.unique(small)) <= {0, 255}
        assert small.any()
        if size == 8:  # a pixel of four is set if two of them were
            share = (large > 0).reshape(24, 2, 8, 2, 8, 2, 1).mean((3, 5))
            np.testing.assert_array_equal(small > 0, share >= 0.5)


def test_a_mask_that_is_named_is_read(masked):
    names = ("square_a_agent_mask",)
    batch = next(ordered_batches(masked[0], names, batch_size=4))
    assert batch["frames"].shape == (4, 2, 16, 16, 1)
    batch, names = first({"path": str(masked[0]), "cameras": ("agent_mask",)})
    assert names == ("square_a_agent_mask", "square_b_agent_mask")


def test_a_view_of_a_mask_that_is_not_there(paired):
    with pytest.raises(DataError, match=r"data.views \(exogenous_mask\); its cameras: top, side"):
        first({"path": str(paired[0]), "views": ("exogenous_mask",)})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--masks",), "--masks without a distractor; give --distractors"),
        (("--masks", "--distractors=1", "--cameras=2"), "--masks are of one view"),
    ],
)
def test_masks_that_cannot_be(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        prepare("synthetic", tmp_path / "data", recipe_options("synthetic", *arguments))
