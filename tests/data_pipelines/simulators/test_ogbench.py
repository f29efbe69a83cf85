"""OGBench's scene: its tasks, the chain of its experts, and the recordings, without OGBench."""

import importlib
import json
import sys

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import get_recipe, recipe_options
from data_pipelines.simulators import collector
from data_pipelines.simulators.collector import TRIES
from data_pipelines.simulators.demonstrations import DemonstrationRecipe
from data_pipelines.simulators.ogbench import tasks
from data_pipelines.simulators.ogbench.chain import Chain
from data_pipelines.simulators.ogbench.simulator import SETTINGS, OgbenchScene
from data_pipelines.simulators.ogbench.tasks import TASKS, Readings, holds
from data_pipelines.tools.counting import notes
from data_pipelines.tools.validation import validate
from tests.data_pipelines.simulators import ogbench_stand_in
from tests.data_pipelines.simulators.remote_lamp import FOLDER
from tests.data_pipelines.simulators.test_remote import RemoteLamp

MODULE = "tests.data_pipelines.simulators.test_ogbench"
RECIPE = DemonstrationRecipe(
    RemoteLamp, "lamps", {"drawer_expert": 4, "window_expert": 4}, views=("side",)
)
REST = Readings(buttons=(0, 0), drawer=0.0, window=0.0, cube_stored=False)


def test_stages_of_a_task_lead_from_its_beginning_to_its_end():
    assert len(TASKS) == 8
    assert sorted({len(task.stages) for task in TASKS.values()}) == [2, 3, 4, 6]
    for task in TASKS.values():
        now = {"buttons": list(task.buttons), "drawer": task.drawer, "window": task.window}
        now["cube_stored"] = False
        for stage in task.stages:
            assert not holds(stage, Readings(**now)), (task.name, stage)
            opened = {"drawer": tasks.DRAWER_OPEN}
            if stage.thing in tasks.BUTTON_OF:
                now["buttons"][tasks.BUTTON_OF[stage.thing]] = stage.goal
            elif stage.thing == "cube":
                assert now["drawer"] == opened["drawer"]
                now["cube_stored"] = True
            else:
                lock = {"drawer": "drawer_lock", "window": "window_lock"}[stage.thing]
                assert now["buttons"][tasks.BUTTON_OF[lock]] == tasks.UNLOCKED
                now[stage.thing] = stage.goal
            assert holds(stage, Readings(**now))
        assert all(holds(goal, Readings(**now)) for goal in task.goals)
    assert len({task.sentence for task in TASKS.values()}) == 8


def test_slides_hold_within_their_tolerance():
    assert holds(tasks.OPEN_DRAWER, Readings((0, 0), -0.121, 0.0, False))
    assert not holds(tasks.OPEN_DRAWER, Readings((0, 0), -0.119, 0.0, False))
    assert holds(tasks.CLOSE_WINDOW, Readings((0, 0), 0.0, 0.039, False))


class Plan:
    """Two actions, the number of the plan; the keyframe is that of the action."""

    def __init__(self, number):
        self.number, self.given = number, 0

    done = property(lambda self: self.given == 2)
    keyframe = property(lambda self: "reach" if self.given == 0 else "leave")

    def action(self):
        self.given += 1
        return np.array([self.number])


def played(stages, outcomes, attempts=3, steps=20):
    """A chain whose plans end as `outcomes` says, and its actions until it is over."""
    reached, plans = set(), []

    def begin(stage):
        plans.append(stage)
        if outcomes[len(plans) - 1]:
            reached.add(stage)
        return Plan(len(plans))

    holds = lambda stage: stage in reached and (plans[-1] != stage or done(chain))
    done = lambda chain: chain._plan is not None and chain._plan.done
    chain = Chain(stages, begin=begin, holds=holds, attempts=attempts)
    actions = [chain.action(step) for step in range(steps)]
    return chain, [int(action[0]) for action in actions if action is not None]


def test_a_stage_that_failed_is_planned_again():
    stages = TASKS["both"].stages
    chain, actions = played(stages, [False, True, True])
    assert actions == [1, 1, 2, 2, 3, 3] and chain.over
    assert chain.phases() == {
        "stages": [[0, "open the drawer"], [4, "open the window"]],
        "keyframes": [[i, ("reach", "leave")[i % 2]] for i in range(6)],
        "attempts": [2, 1],
    }


def test_a_chain_gives_up_after_its_attempts():
    chain, actions = played(TASKS["both"].stages, [False] * 9)
    assert actions == [1, 1, 2, 2, 3, 3] and chain.over
    assert chain.phases()["attempts"] == [3, 0]


def test_a_stage_that_is_reached_is_not_planned():
    stages = TASKS["full"].stages
    chain = Chain(stages, begin=Plan, holds=lambda stage: stage is not stages[3], attempts=1)
    assert chain.action(0)[0] is stages[3]
    assert chain.phases()["stages"] == [[0, "put the cube into the drawer"]]


@pytest.fixture
def scene(monkeypatch):
    ogbench_stand_in.install(monkeypatch)
    ogbench_stand_in.CALLS.clear()
    name = "data_pipelines.simulators.ogbench.scene"
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module(name)
    del sys.modules[name]


def run(world, seed, task, most=200):
    """(actions, [(reward, done)]) of the expert."""
    world.begin(seed, task)
    actions, steps = [], []
    while not steps or not (steps[-1][1] or len(steps) == most):
        actions.append(world.expert_action())
        steps.append(world.step(actions[-1]))
    return np.array(actions), steps


def test_maps_are_of_the_camera_beside_them(scene):
    """The arm shows in two of four pixels; depth is in centimetres, up to 255."""
    world = scene.Scene(2, ["side", "depth", "agent_mask"], dict(SETTINGS))
    world.begin(0, next(iter(TASKS)))
    ogbench_stand_in.CALLS.clear()
    frames = world.frames()
    assert list(frames) == world.cameras and frames["side"].shape[-1] == 3
    assert ogbench_stand_in.CALLS == [("depth", "side"), ("segmentation", "side")]
    np.testing.assert_array_equal(frames["agent_mask"][..., 0], [[0, 0], [255, 255]])
    np.testing.assert_array_equal(frames["depth"][..., 0], [[50, 100], [100, 255]])
    assert frames["depth"].dtype == frames["agent_mask"].dtype == np.uint8
    assert world._env._renderer.mode == "picture"
    ogbench_stand_in.CALLS.clear()
    scene.Scene(2, ["wrist", "depth"], dict(SETTINGS)).frames()  # It hangs on the gripper.
    assert ogbench_stand_in.CALLS[-1] == ("depth", "ur5e/robotiq/wrist")
    options = recipe_options("ogbench", "--cameras=side", "--distractor=sprites", "--masks")
    names = [spec.name for spec in get_recipe("ogbench").specs(options)[:3]]
    assert [name.partition("_expert")[2] for name in names] == [
        "",
        "_agent_mask",
        "_exogenous_mask",
    ]
    with pytest.raises(DataError, match="OgbenchScene does not say where its background shows"):
        recipe_options("ogbench", "--distractor=background")


def test_the_scene_is_drawn_as_the_settings_say(scene):
    world = scene.Scene(4, ["front_pixels"], dict(SETTINGS))
    assert ("renderer", 0) in ogbench_stand_in.CALLS  # set before the renderer is made
    np.testing.assert_array_equal(world._env._renderer.scene.flags, 0)
    assert world._env.settings["width"] == world._env.settings["height"] == 4
    full = scene.Scene(4, [], SETTINGS | {"multisamples": 4, "shadows": True, "reflections": True})
    assert ("renderer", 4) in ogbench_stand_in.CALLS
    np.testing.assert_array_equal(full._env._renderer.scene.flags, 1)


def test_a_renderer_that_cannot_be_made_is_told(scene, monkeypatch):
    monkeypatch.setattr(ogbench_stand_in.World, "_initialize_renderer", lambda self: 1 / 0)
    with pytest.raises(scene.Unusable, match="MuJoCo cannot draw .ZeroDivisionError.*MUJOCO_GL"):
        scene.Scene(4, [], dict(SETTINGS))


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_a_task_that_then_settles(scene, task):
    world = scene.Scene(4, ["side"], dict(SETTINGS))
    actions, steps = run(world, 3, task)
    stages = TASKS[task].stages
    assert len(steps) == 3 * len(stages) + scene.SETTLED - 1  # the last plan's last step counts
    assert [reward for reward, _ in steps] == [0.0] * (len(steps) - 1) + [1.0]
    assert world.success() and not actions[-1].any()
    facts = world.facts()
    assert facts["stages_reached"] == len(stages) and facts["attempts"] == [1] * len(stages)
    assert facts["stages"] == [[3 * i, stage.text] for i, stage in enumerate(stages)]
    assert facts["keyframes"][:3] == [[0, "reach"], [2, "final"], [3, "reach"]]
    np.testing.assert_allclose(world.state(), [1, 2, 3, -1, 0, 0.5, 0.25], atol=1e-9)
    assert world.frames()["side"].shape == (4, 4, 3)


def test_an_episode_is_a_function_of_its_seed(scene):
    world = scene.Scene(4, [], dict(SETTINGS))
    first, _ = run(world, 3, "full")
    other, _ = run(world, 4, "full")
    again, _ = run(world, 3, "full")
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_expert_that_slips_ends_the_episode(scene, monkeypatch):
    monkeypatch.setattr(ogbench_stand_in.Drawer, "reach", lambda self: None)
    world = scene.Scene(4, [], dict(SETTINGS))
    _, steps = run(world, 3, "store")
    assert steps[-1] == (0.0, True) and not world.success()
    assert world.facts()["attempts"] == [1, 3, 0] and world.facts()["stages_reached"] == 1


def test_a_cube_over_the_drawer_is_not_in_it(scene):
    world = scene.Scene(4, [], dict(SETTINGS))
    world.begin(0, "cube_drawer")
    world._env.joints["object_joint_0"].qpos[:] = 0.3, -0.2, 0.14
    assert not world._readings().cube_stored
    world._env.joints["object_joint_0"].qpos[2] = 0.07
    assert world._readings().cube_stored


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMP_ENV", sys.prefix)
        out = tmp_path_factory.mktemp("ogbench") / "data"
        prepare(MODULE, out, options(), engine=Engine(workers=2))
    return out


def options(*more):
    return recipe_options(MODULE, "--size=16", "--codec=raw", "--seed=1", *more)


def test_solved_episodes_are_kept_and_the_others_listed_with_a_rate(recorded):
    validate(recorded)
    info = open_dataset(recorded)
    assert info.datasets.keys() == {"drawer_expert"}
    spec = info.datasets["drawer_expert"]
    assert spec.details["kept"] == "solved episodes only" and spec.camera == "side"
    assert spec.details["rendering"] == "multisamples 0, shadows False, reflections False"
    assert spec.details["stages"] == ["unlock the drawer", "open the drawer"]
    assert spec.state_names[:3] == ("x", "y", "z") and spec.action.count == 5 and spec.fps == 20
    rates, skipped = info.manifest["success_rates"], info.manifest["skipped_items"]
    failed = [item for item in skipped if item[0].startswith("drawer_expert")]
    assert failed and all(item[1:] == ["failed", "not solved in 10 steps"] for item in failed)
    rate = {"solved": 4, "failed": len(failed), "lost": 0, "rate": round(4 / (4 + len(failed)), 4)}
    assert rates["drawer_expert"] == rate
    assert f"solved: 4 of {4 + len(failed)} episodes of drawer_expert" in notes(info.manifest)


def test_a_task_whose_expert_always_fails_is_listed_and_left_out(recorded):
    manifest = open_dataset(recorded).manifest
    tried = 4 * TRIES
    nothing = {"solved": 0, "failed": tried, "lost": 0, "rate": 0.0}
    assert manifest["success_rates"]["window_expert"] == nothing
    assert manifest["empty_datasets"] == ["window_expert"]
    assert f"solved: 0 of {tried} episodes of window_expert" in notes(manifest)


def test_every_episode_has_its_phases_and_its_sentence(recorded):
    folder = recorded / "drawer_expert" / "1.0.0"
    lines = [line for path in folder.glob("episodes-*") for line in path.read_text().splitlines()]
    assert len(lines) == 4
    for episode in map(json.loads, lines):
        assert episode["language"] == "unlock and open the drawer" and episode["success"]
        assert episode["stages"] == [[0, "unlock the drawer"], [6, "open the drawer"]]
        assert episode["keyframes"]


def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def test_an_interrupted_recording_goes_on_to_the_same_bytes(recorded, tmp_path, monkeypatch):
    """Stopped between two tasks; then a process of the simulator dies, and plays again."""
    monkeypatch.setenv("LAMP_ENV", sys.prefix)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    out = tmp_path / "data"
    (tmp_path / "import of window").touch()
    with pytest.raises(DataError, match="a_package_that_nobody_has"):
        prepare(MODULE, out, options(), engine=Engine(workers=1))
    assert len(list((tmp_path / ".data.partial").rglob("*.npz"))) == 4
    (tmp_path / "die in step 3").touch()
    assert prepare(MODULE, out, options(), engine=Engine(workers=1))
    assert not (tmp_path / "die in step 3").exists()
    assert files(out) == files(recorded)


def test_episodes_that_are_lost_in_a_row_are_an_error_and_are_played_by_the_next_start(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LAMP_ENV", sys.prefix)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "always die in step 3").touch()
    monkeypatch.setattr(collector, "CRASHES", 1)
    message = "drawer_expert: 2 episodes in a row were lost, the last one: its process was killed"
    with pytest.raises(DataError, match=message):
        prepare(MODULE, tmp_path / "data", options(), engine=Engine(workers=1))
    assert not [path for path in tmp_path.rglob("0*") if path.is_file()]  # nothing stands as played


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(
        DataError, match="--episodes=2: give at least 3 for train, validation, test"
    ):
        options("--episodes=2", "--tasks=drawer")
    with pytest.raises(DataError, match="--tasks=drawer,drawer: give each task once"):
        options("--tasks=drawer,drawer")
    with pytest.raises(DataError, match="unknown dataset 'fly_expert'"):
        options("--tasks=fly")
    plan = options("--fast", "--episodes=50", "--tasks=drawer,full")["plan"]
    assert plan == {"drawer_expert": 5, "full_expert": 5}


def test_prepare_knows_it_and_needs_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OGBENCH_ENV", str(tmp_path / "absent"))
    assert get_recipe("ogbench").simulator is OgbenchScene
    given = recipe_options("ogbench")
    assert given["cameras"] == ["front_pixels"] and len(given["plan"]) == 8
    with pytest.raises(DataError, match="remote.environments ogbench"):
        prepare("ogbench", tmp_path / "data", given)
