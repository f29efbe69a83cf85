"""LIBERO's protocols, motions and grasps: pure functions, no simulator."""

import dataclasses
import json

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.simulators.libero.definition import Goal, parse_definition
from data_pipelines.simulators.libero.grasps import Grasp, choose_grasp, hits, width_along
from data_pipelines.simulators.libero.motion import (
    CLOSE,
    DOWN,
    OPEN,
    Follower,
    Waypoint,
    action_toward,
    hand,
    matrix_of,
    rotation_about,
    rotation_vector,
    turned,
)
from data_pipelines.simulators.libero.protocols import (
    ORIENTATIONS,
    PROTOCOLS,
    RECORDING,
    find_protocol,
    oriented,
)
from data_pipelines.simulators.libero.scene import Part

UP = np.array([0.0, 0.0, 1.0])
NOWHERE = np.zeros(3)


def test_protocols_are_the_published_ones():
    """Of LIBERO's own evaluation, OpenVLA's and BAKU's code."""
    rows = {
        name: (p.episodes, p.settle_steps, p.settle_action[-1], p.size, p.orientation, p.text)
        for name, p in PROTOCOLS.items()
    }
    assert rows == {
        "official": (20, 5, 0.0, 128, "upside_down", "file_name"),
        "openvla": (50, 10, -1.0, 256, "mirrored", "file_name"),
        "baku": (10, 0, -1.0, 128, "upright", "bddl"),
    }
    suites = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
    horizons = {name: [p.max_steps(suite) for suite in suites] for name, p in PROTOCOLS.items()}
    assert horizons == {
        "official": [600] * 5,
        "openvla": [220, 280, 300, 520, 400],
        "baku": [193, 254, 270, 505, 373],
    }
    for protocol in PROTOCOLS.values():
        assert json.loads(json.dumps(protocol.to_json()))["name"] == protocol.name


def test_an_episode_of_a_protocol_is_a_function_of_its_number():
    """Stored states are cycled; where there are none, the seed is the episode's."""
    starts = {name: dataclasses.astuple(p.start(53, 50)) for name, p in PROTOCOLS.items()}
    assert starts == {"official": (0, 3), "openvla": (0, 3), "baku": (53, None)}
    assert dataclasses.astuple(RECORDING.start(53, 50)) == (53, 3)
    with pytest.raises(DataError, match="no horizon for libero_tea"):
        find_protocol("baku").max_steps("libero_tea")
    with pytest.raises(DataError, match="unknown protocol 'lerobot'; known: official"):
        find_protocol("lerobot")


def test_texts_of_protocols():
    name, text = "KITCHEN_SCENE10_close_the_drawer", "shut it"
    assert PROTOCOLS["openvla"].instruction(name, text) == "close the drawer"
    assert PROTOCOLS["baku"].instruction(name, text) == "shut it"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientations_undo_themselves(orientation):
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3))
    seen = oriented(frames, orientation)
    np.testing.assert_array_equal(oriented(seen, orientation), frames)
    raw = frames[:, ::-1]  # the renderer's rows
    expected = {"upright": frames, "upside_down": raw, "mirrored": raw[:, ::-1, ::-1]}
    np.testing.assert_array_equal(seen, expected[orientation])


def test_definitions():
    text = """(define (problem X) (:language Open the "top" drawer)
      (:init (On bowl_1 table_region)) (:goal
      (And (Open cabinet_1_top_region)  (In bowl_1
        cabinet_1_top_region))))"""
    found = parse_definition(text, "a.bddl")
    assert found.language == 'Open the "top" drawer'
    assert found.goals == (
        Goal("Open", ("cabinet_1_top_region",)),
        Goal("In", ("bowl_1", "cabinet_1_top_region")),
    )
    for bad in ("(:language x)", "(:goal (And ))"):
        with pytest.raises(DataError, match=r"a\.bddl: .*install the LIBERO package again"):
            parse_definition(bad, "a.bddl")


def test_rotations():
    rng = np.random.default_rng(0)
    for angle in (0.0, 1e-6, 0.3, 3.0, np.pi):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        rotation = rotation_about(axis, angle)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        vector = rotation_vector(rotation)
        if angle == np.pi:  # both directions of the axis are right
            vector *= np.sign(vector @ axis)
        np.testing.assert_allclose(vector, angle * axis, atol=1e-6)
        quaternion = np.append(np.sin(angle / 2) * axis, np.cos(angle / 2))
        np.testing.assert_allclose(matrix_of(quaternion), rotation, atol=1e-12)


def test_hands():
    """Columns: x, fingers, where it points; of the two hands, the one that turns less."""
    np.testing.assert_allclose(hand(-UP, np.array([0.0, 2.0, 0.0])), DOWN)
    tilted = hand(np.array([0.0, -1.0, -1.0]), np.array([0.0, 1.0, -1.0]))
    assert np.linalg.det(tilted) == pytest.approx(1)
    np.testing.assert_allclose(tilted[:, 2] * np.sqrt(2), [0, -1, -1], atol=1e-12)
    np.testing.assert_allclose(turned(0.3)[:, 2], -UP)
    fingers = turned(0.3)[:, 1]
    assert abs(fingers @ [-np.sin(0.3), np.cos(0.3), 0]) == pytest.approx(1)


def test_actions_lead_to_the_waypoint():
    """An exact arm that follows them arrives, and is never told more than a full action."""
    goal = Waypoint("reach", np.array([0.3, -0.2, 0.5]), turned(1.2), OPEN, 0.003, 99)
    follower = Follower(iter([goal]))
    position, rotation, steps = np.zeros(3), DOWN, 0
    while (waypoint := follower.advance(position, rotation)) is not None:
        action = action_toward(waypoint, position, rotation)
        assert np.abs(action).max() <= 1 and action[6] == OPEN
        position = position + 0.03 * action[:3]  # it lags
        turn = 0.5 * action[3:6]
        angle = np.linalg.norm(turn)
        rotation = rotation_about(turn / max(angle, 1e-9), angle) @ rotation
        steps += 1
    assert steps < 60 and np.linalg.norm(position - goal.position) < 0.003
    assert np.linalg.norm(rotation_vector(goal.rotation @ rotation.T)) < 0.1


def test_time_decides_where_a_waypoint_says_so():
    still = np.zeros(3)
    squeeze = Waypoint("grasp", still, DOWN, CLOSE, np.inf, 5, 5)
    far = Waypoint("reach", still + 1, DOWN, OPEN, 0.01, 3)
    follower, seen = Follower(iter([squeeze, far])), []
    while (waypoint := follower.advance(still, DOWN)) is not None:
        seen.append(waypoint.phase)
    assert seen == ["grasp"] * 5 + ["reach"] * 3


def box(x, y, z, half, turn=0.0):
    return Part(np.array([x, y, z]), np.array(half), rotation_about(UP, turn))


def test_a_grasp_is_across_the_narrow_side():
    """Also of a box that lies askew; not turned where that saves nothing."""
    rng = np.random.default_rng(0)
    for turn in (0.0, 0.5, -1.0):
        part = box(0.1, 0.2, 0.05, (0.06, 0.02, 0.05), turn)
        grasp = choose_grasp("milk_1", [part], [], NOWHERE, rng)
        assert width_along(part.corners(), grasp.yaw) < 0.06
        np.testing.assert_allclose(grasp.point, [0.1, 0.2, 0.065])
    assert choose_grasp("can_1", [box(0, 0, 0, (0.03, 0.03, 0.05))], [], NOWHERE, rng).yaw == 0


def test_a_bowl_is_taken_by_the_rim_where_nothing_is_in_the_way():
    rng = np.random.default_rng(0)
    bowl = [box(0, 0, 0.03, (0.05, 0.05, 0.03))]
    free = choose_grasp("red_bowl_1", bowl, [], NOWHERE, rng)
    assert abs(free.point[1]) == pytest.approx(0.05) and free.yaw == pytest.approx(0, abs=1e-9)
    walls = [box(0, side * 0.1, 0.1, (0.3, 0.03, 0.1)) for side in (-1, 1)]
    assert hits(free, walls)
    beside = choose_grasp("red_bowl_1", bowl, walls, NOWHERE, rng)
    assert not hits(beside, walls) and abs(beside.yaw) > 1
    # The same walls where it goes.
    there = [part._replace(centre=part.centre + [1, 0, 0]) for part in walls]
    later = choose_grasp("red_bowl_1", bowl, there, np.array([1.0, 0, 0]), rng)
    assert abs(later.yaw) > 1


def test_a_pot_is_taken_by_its_handle():
    pot = [box(0, 0, 0.06, (0.04, 0.04, 0.06)), box(0, 0, 0.03, (0.03, 0.03, 0.03))]
    pot += [box(0, 0, 0.02, (0.02, 0.02, 0.02)), box(0, -0.08, 0.06, (0.007, 0.01, 0.03))]
    grasp = choose_grasp("moka_pot_1", pot, [], NOWHERE, np.random.default_rng(0))
    np.testing.assert_allclose(grasp.point, [0, -0.08, 0.055], atol=1e-9)
    assert abs(grasp.yaw) == pytest.approx(np.pi / 2)


def test_what_is_under_the_hand_does_not_count():
    grasp = Grasp(np.array([0.0, 0, 0.05]), 0.0)
    assert hits(grasp, [box(0, 0, -0.1, (1, 1, 0.1))]) == 0
    assert hits(grasp, [box(0, 0.08, 0.1, (0.01, 0.01, 0.1))]) == 1  # beside: the hand is wide
