"""Carrying codes over, with models whose answers are known."""

import types

import numpy as np
import pytest

from flexlam_jax.evaluation.lam.transfer import (
    CYCLE,
    OWN,
    SHUFFLED,
    Pairs,
    carry,
    nearer,
    transfer,
)
from tests.evaluation.world.rolling import RollingLam, make_clips, rolled


class CarryingLam(RollingLam):
    """The rolling model with a decoder: what a code does, it does everywhere."""

    def null_fill(self, slots, keep):
        return np.where(np.arange(2)[:, None] < keep, slots, self.null)

    def decode(self, o_t, codes):
        codes = np.rint(np.asarray(codes)[..., 0]).astype(int)
        return rolled(o_t, np.where(codes == 9, [0, 2], codes)).astype(np.float32) / 255


class HomeboundLam(CarryingLam):
    """Reads nothing but code 0 where the picture is dark."""

    def encode_with_ids(self, o_t, o_next):
        _, ids = super().encode_with_ids(o_t, o_next)
        ids = np.where((np.asarray(o_t).mean((1, 2, 3)) < 60)[:, None], 0, ids)
        return ids[..., None].astype(np.float32), ids


def pairs_of(dark):
    clips = make_clips(context=1, steps=1)
    o_s, o_next = clips.frames[:, 0], clips.frames[:, 1]
    o_x = np.roll(o_s, 7, 0)
    return Pairs(
        o_s=o_s,
        o_next=o_next,
        o_x=(o_x // 4 + 8).astype(np.uint8) if dark else o_x,
        episode=clips.episode,
        action=clips.action[:, 0],
    )


def reader(offset=0):
    """A translator that reads the code of slot 1, shifted by `offset`."""
    config = types.SimpleNamespace(discrete=True, outputs=4)

    def read(codes):
        return (np.rint(codes[:, 0, 0]).astype(int) + offset) % 4

    read.config = config
    return read


def test_what_acts_alike_everywhere_comes_back_whole():
    for dark in (False, True):
        row = transfer(CarryingLam(), pairs_of(dark), [2], reader())[0]
        assert row["ids"].mean == 1 > row["ids_shuffled"].mean
        assert row["lost"].mean == 0 and row["above"].low > 0 and row["kept"].mean == 1
        assert row["psnr_cycle"].mean == row["psnr_own"].mean > row["psnr_shuffled"].mean
        assert nearer(row) == OWN
        assert row["action_real"].mean == row["action_carried"].mean == 1
        assert row["action_shuffled"].high < 0.8 and row["action_relative"].mean == 1


def test_what_is_not_read_elsewhere_is_lost():
    row = transfer(HomeboundLam(), pairs_of(dark=True), [2], reader())[0]
    assert row["psnr_home"].mean == row["psnr_own"].mean  # It is the move that costs.
    assert row["lost"].low > 0 and row["ratio"].mean > 1 and nearer(row) != OWN
    assert row["action_carried"].mean == 0.25  # Code 0, whatever the action.
    assert row["action_relative"].mean == 0.25


def carried(pairs, keep):
    lam = CarryingLam()
    return carry(lam, pairs, lam.encode_with_ids(pairs.o_s, pairs.o_next), keep)


def test_slots_that_are_not_kept_say_nothing():
    pairs = pairs_of(dark=False)
    one = carried(pairs, 1)
    assert (one.code[:, 1] == CarryingLam.null).all() and one.ids.shape == (len(pairs), 1)
    assert (one.again[:, 1] == CarryingLam.null).all() and SHUFFLED not in one.replays
    assert one.there.dtype == np.uint8 and one.there.shape == pairs.o_x.shape
    row = transfer(CarryingLam(), pairs, [0])[0]
    assert "ids" not in row and "action_real" not in row
    assert row["kept"].mean == 0 and row["lost"].mean == row["above"].mean == 0
    assert nearer(row) == ""


def test_continuous_actions_are_told_as_a_share_of_their_variance():
    pairs = pairs_of(dark=True)
    action = pairs.action[:, None].astype(np.float32)
    pairs = Pairs(pairs.o_s, pairs.o_next, pairs.o_x, pairs.episode, action)

    def read(codes):
        return codes[:, 0]

    read.config = types.SimpleNamespace(discrete=False, outputs=1)
    found = transfer(CarryingLam(), pairs, [2], read)[0]
    assert found["action_real"].mean == found["action_carried"].mean == 1
    assert found["action_shuffled"].mean < 0.5 and "action_relative" not in found
    lost = transfer(HomeboundLam(), pairs, [2], read)[0]
    assert lost["action_carried"].mean < 0.1 < lost["action_real"].mean


def test_a_translator_that_reads_nothing_has_no_share():
    row = transfer(CarryingLam(), pairs_of(dark=False), [2], reader(offset=1))[0]
    assert row["action_real"].mean == 0 and "action_relative" not in row


def test_two_pairs_are_needed():
    pairs = pairs_of(dark=False)
    one = Pairs(pairs.o_s[:1], pairs.o_next[:1], pairs.o_x[:1], pairs.episode[:1])
    with pytest.raises(ValueError, match="needs at least two"):
        transfer(CarryingLam(), one, [2])
    assert set(carried(one, 2).replays) == {OWN, CYCLE, "home", "copy"}
