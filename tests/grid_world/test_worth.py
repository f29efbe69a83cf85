"""What codes could tell: counted by hand where that can be done."""

import pytest

from flexlam_jax.grid_world.worth import action_worth, noise_worth, threshold


def test_actions_are_worth_what_the_frame_leaves_open():
    # Corners (.56), edges (.72) and the two inner cells (.8), each 1 - sum of squared chances.
    assert action_worth() == pytest.approx((4 * 0.56 + 6 * 0.72 + 2 * 0.8) / 12)


@pytest.mark.parametrize("codes, share", [(1, 0), (2, 1 / 4), (4, 1 / 2), (8, 3 / 4), (16, 1)])
def test_bits_of_a_code_tell_cells_of_the_noise(codes, share):
    """Variance 1/4 in each of 4 cells."""
    assert noise_worth(codes, 1.0) == pytest.approx(share)
    assert noise_worth(codes, 2.0) == pytest.approx(4 * share)


def test_where_frames_are_shifted_the_number_of_cells_that_are_on_can_be_told():
    # That number has variance 1; each of 4 cells is predicted as a quarter of it.
    assert noise_worth(5, 1.0, shifted=True) == pytest.approx(1 / 4)
    assert noise_worth(16, 1.0, shifted=True) < 0.26


def test_noise_wins_above_an_intensity_that_shifts_raise():
    for shifted, told in ((False, 1.10), (True, 1.65)):
        found = threshold(5, shifted=shifted)
        assert found == pytest.approx(told, abs=0.005)
        assert noise_worth(5, found, shifted=shifted) == pytest.approx(action_worth())
