"""Mean returns on DMLab-30 that score 0 and 1.

random and human: the table of IMPALA's code (google-deepmind/scalable_agent, dmlab30.py), also
that of DreamerV3's baselines. Other published tables have other human returns. dreamerv3: mean of
the last ten logged points of five seeds, 100M steps, computed from danijar/dreamerv3,
scores/dmlab30-dreamerv3.json.gz (the runs of lasertag_one_opponent_large end at 55M).
"""

from __future__ import annotations

from typing import NamedTuple


class Returns(NamedTuple):
    """Mean undiscounted episode returns on one level."""

    random: float
    human: float
    dreamerv3: float


REFERENCES = ("human", "dreamerv3")  # what may score 1

RETURNS = {
    "rooms_collect_good_objects_test": Returns(0.073, 10, 9.90),
    "rooms_exploit_deferred_effects_test": Returns(8.501, 85.65, 40.3),
    "rooms_select_nonmatching_object": Returns(0.312, 65.9, 73.2),
    "rooms_watermaze": Returns(4.065, 54, 24.4),
    "rooms_keys_doors_puzzle": Returns(4.135, 53.8, 42.1),
    "language_select_described_object": Returns(-0.07, 389.5, 667),
    "language_select_located_object": Returns(1.929, 280.7, 677),
    "language_execute_random_task": Returns(-5.913, 254.05, 221),
    "language_answer_quantitative_question": Returns(-0.33, 184.5, 265),
    "lasertag_one_opponent_small": Returns(-0.224, 12.65, 0.00),
    "lasertag_three_opponents_small": Returns(-0.214, 18.55, 20.1),
    "lasertag_one_opponent_large": Returns(-0.083, 18.6, -0.04),
    "lasertag_three_opponents_large": Returns(-0.102, 31.5, 8.06),
    "natlab_fixed_large_map": Returns(2.173, 36.9, 50.2),
    "natlab_varying_map_regrowth": Returns(2.989, 24.45, 16.1),
    "natlab_varying_map_randomized": Returns(7.346, 42.35, 29.5),
    "skymaze_irreversible_path_hard": Returns(0.1, 100, 79.1),
    "skymaze_irreversible_path_varied": Returns(14.4, 100, 87.7),
    "psychlab_arbitrary_visuomotor_mapping": Returns(0.163, 58.75, 30.7),
    "psychlab_continuous_recognition": Returns(0.224, 58.3, 33.8),
    "psychlab_sequential_comparison": Returns(0.129, 39.5, 44.2),
    "psychlab_visual_search": Returns(0.085, 78.5, 40.1),
    "explore_object_locations_small": Returns(3.575, 74.45, 92.8),
    "explore_object_locations_large": Returns(4.673, 65.65, 62.9),
    "explore_obstructed_goals_small": Returns(6.76, 206, 227),
    "explore_obstructed_goals_large": Returns(2.61, 119.5, 58.1),
    "explore_goal_locations_small": Returns(7.66, 267.5, 385),
    "explore_goal_locations_large": Returns(3.14, 194.5, 121),
    "explore_object_rewards_few": Returns(2.073, 77.7, 40.2),
    "explore_object_rewards_many": Returns(2.438, 106.7, 56.9),
}
