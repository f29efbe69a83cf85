"""The command that measures success: what it writes, that it goes on, what it refuses."""

import json
import sys

import jax
import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.simulators.libero.protocols import PROTOCOLS
from experiments.evaluate_policy.suites import open_suite
from experiments.evaluate_policy.summary import summarise, table
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.rollouts import Episode, Outcome
from flexlam_jax.models.baku import PredictsSettings, ReadsSettings, build_chunk_policy
from flexlam_jax.output_folder import RUN
from tests.data_pipelines.simulators import libero_stand_in
from tests.data_pipelines.simulators.lamp import FOLDER, Lamp, played
from tests.data_pipelines.simulators.remote_lamp import FOLDER as REMOTE_FOLDER
from tests.experiments.command_lines import run_lines
from tests.models.test_baku import MODEL
from tests.models.tiny_lam import randomised

LAMP = "--suite=tests.data_pipelines.simulators.lamp"
REMOTE = "--suite=tests.data_pipelines.simulators.test_ogbench"
STATE = ("x", "y", "z", "yaw_cos", "yaw_sin", "gripper_opening", "gripper_contact")


def save_policy(folder, reads, predicts, **model):
    """A chunk policy of random weights."""
    read = {**vars(ReadsSettings()), "cameras": ("left", "right"), **reads}
    sections = {
        "model": {**MODEL, "image_size": 16, "history": 1, **model},
        "reads": read,
        "predicts": {**vars(PredictsSettings()), **predicts},
    }
    module = build_chunk_policy(*sections.values())
    size, rows = sections["model"]["image_size"], len(read["cameras"]) or 1
    seen = {"frames": np.zeros((1, 1, rows, size, size, 3))}
    if read["proprio"]:
        seen["proprio"] = np.zeros((1, 1, read["proprio_width"]))
    if read["skill"]:
        seen["skill"] = np.zeros((1, 1, read["skill_width"]))
    if sections["model"]["text"]["kind"] != "none":
        seen["text"] = np.zeros((1, sections["model"]["text"]["width"]))
    shapes = jax.eval_shape(
        lambda: module.init(jax.random.key(0), seen, np.zeros(1, np.uint32), method="act")
    )
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    save_model(folder, RUN, randomised(zeros), {"kind": "policy", **sections})


PLACE = {"proprio": True, "proprio_width": 1, "proprio_names": ("place",)}
PLACE |= {"proprio_mean": (8.0,), "proprio_scale": (4.0,)}
FORCE = {"width": 1, "names": ("force",), "low": (-1.0,), "high": (1.0,)}
SKILL = {"columns": ("z",), "width": 3, "low": (-1.0,) * 3, "high": (1.0,) * 3, "source": "z of a"}
READS_SKILL = {"skill": "z", "skill_width": 3, "skill_source": "z of a"}
NO_TEXT = {"text": {"kind": "none"}}
ARM = {"width": 5, "names": ("x", "y", "z", "yaw", "gripper"), "low": (-1,) * 5, "high": (1,) * 5}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    save_policy(place / "flat", PLACE, FORCE, history=2)
    save_policy(place / "high", {}, SKILL)
    save_policy(place / "low", {**PLACE, **READS_SKILL}, FORCE, **NO_TEXT)
    save_policy(place / "foreign", READS_SKILL | {"skill_source": "z of b"}, FORCE, **NO_TEXT)
    save_policy(place / "latent", READS_SKILL, SKILL, **NO_TEXT)
    save_policy(place / "large", {**PLACE, **READS_SKILL}, FORCE, **NO_TEXT, image_size=8)
    save_policy(place / "top", {"cameras": ("top", "left")}, FORCE)
    save_policy(place / "states", PLACE | {"proprio_names": ("speed",)}, FORCE)
    save_policy(place / "arm", {"cameras": ()}, ARM)
    return place


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr) of several commands, one after the other."""
    flat = [f"--policy={place}/flat", LAMP, "--tasks=push"]
    new = f"--out={place}/x"
    levels = [f"--policy={place}/high", LAMP, "--tasks=push"]
    lines = {
        "flat": [*flat, "--episodes=5", "--videos=1", f"--out={place}/one"],
        "half": [*flat, "--episodes=2", "--workers=1", f"--out={place}/two"],
        "again": [*flat, "--episodes=5", "--workers=1", f"--out={place}/two"],
        "levels": [
            *levels, f"--low={place}/low", "--episodes=2", "--workers=1", "--noensemble",
            "--execute=2",
            f"--out={place}/h",
        ],
        "remote": [
            f"--policy={place}/arm", REMOTE, "--tasks=drawer", "--episodes=2", "--batch=1",
            f"--out={place}/remote",
        ],
        "settings": [*flat, "--seed=1", f"--out={place}/one"],
        "means": [*levels, f"--low={place}/low", "--execute=2", new],
        "history": [*flat, "--noensemble", "--execute=2", new],
        "discrete": [f"--policy={place}/flat", LAMP, "--tasks=short", new],
        "absent": [*flat[:2], "--tasks=push,absent", new],
        "protocol": [*flat, "--protocol=openvla", new],
        "libero": [flat[0], "--suite=libero_goal", new],
        "perturbed": [*flat, "--perturbation=swap", new],
        "returns only": [flat[0], "--suite=doom_suite", new],
        "skills": [*levels, new],
        "no skills": [*flat, f"--low={place}/low", new],
        "foreign": [*levels, f"--low={place}/foreign", new],
        "latent": [*levels, f"--low={place}/latent", new],
        "low alone": [f"--policy={place}/low", *flat[1:], new],
        "sizes": [*levels, f"--low={place}/large", new],
        "cameras": [f"--policy={place}/top", *flat[1:], new],
        "states": [f"--policy={place}/states", *flat[1:], new],
        "actions": [f"--policy={place}/arm", *flat[1:], new],
        "nowhere": [f"--policy={place}/absent", *flat[1:], new],
        "theirs": [*flat, f"--out={place}/low"],
    }  # fmt: skip
    (place / "die in step 3").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(place))
        patch.setenv("LAMP_ENV", sys.prefix)
        patch.setenv(REMOTE_FOLDER, str(place))
        done = run_lines("evaluate_policy.command", list(lines.values()))
    return dict(zip(lines, done, strict=True))


def report_of(place, name):
    return json.loads((place / name / "success.json").read_text())


def test_success_is_written(place, results):
    code, out, err, _ = results["flat"]
    assert code == 0, err
    report = report_of(place, "one")
    assert report["kind"] == "policy_evaluation" and report["protocol"]["name"] == "plain"
    assert report["policy"]["kind"] == "policy" and "low" not in report
    assert report["protocol"]["shown_size"] == 16 and report["ensemble"] == {"rate": 0.01}
    task = report["tasks"]["push"]
    assert [one["seed"] for one in task["episodes"]] == [0, 2, 4, 6, 8]
    assert all(one["length"] == 40 and not one["lost"] for one in task["episodes"])
    solved = [one["success"] for one in task["episodes"]]
    assert task["success"]["mean"] == np.mean(solved) and task["success"]["n"] == 5
    assert report["success"] == task["success"] and report["speed"]["steps"] == 200
    assert report["speed"]["cpu_seconds"] > 0
    assert (place / "one" / "videos" / "push_0.mp4").exists()
    assert 'src="videos/push_0.mp4"' in (place / "one" / "gallery.html").read_text()
    assert "200 steps, " in out and "the policy alone decides" in out


def test_neither_workers_nor_a_pause_change_anything(place, results):
    """To the step at which each ended, though slots and order differ."""
    assert results["half"][0] == results["again"][0] == 0, results["again"][2]
    assert report_of(place, "one")["tasks"] == report_of(place, "two")["tasks"]
    returns = [
        [json.loads(line) for line in (place / name / "episodes.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    by_seed = [sorted(lines, key=lambda line: line["seed"]) for lines in returns]
    assert by_seed[0] == by_seed[1] and len({one["episode_return"] for one in by_seed[0]}) == 5
    begun = played(place)
    assert sorted(begun) == sorted(2 * list("02468") + ["0", "2"])  # none of them again


def test_a_hierarchy_plays(place, results):
    assert results["levels"][0] == 0, results["levels"][2]
    report = report_of(place, "h")
    assert report["low"]["checkpoint"] == "low" and report["policy"]["checkpoint"] == "high"
    assert len(report["tasks"]["push"]["episodes"]) == 2 and report["ensemble"] is None
    assert report["execute"] == 2 and report["speed"]["decisions_per_second"] > 0


def test_a_process_that_dies_loses_its_episode(place, results):
    code, out, err, _ = results["remote"]
    assert code == 0, err
    first, second = report_of(place, "remote")["tasks"]["drawer"]["episodes"]
    assert first["lost"] and first["success"] is None and first["length"] == 2
    assert "was killed by SIGKILL" in first["reason"] and "lost: drawer, seed 0" in out
    assert not second["lost"] and second["length"] > 10


@pytest.mark.parametrize(
    "name, message",
    [
        ("settings", "holds an evaluation of a policy of other settings (seed was 0, is 1)"),
        ("means", "2 actions of every chunk cannot be done: temporal ensembling decides at every"),
        ("history", "the policy reads each of the last 2 steps; do 1"),
        ("discrete", "the policy acts by force, task short by a, b (discrete)"),
        ("absent", "Lamp has no task 'absent'; tasks: push, short"),
        (
            "protocol",
            "--protocol=openvla: tests.data_pipelines.simulators.lamp has the protocol plain",
        ),
        (
            "libero",
            "--suite=libero_goal is measured by protocols that differ; give --protocol, one",
        ),
        ("perturbed", "--perturbation=swap is for libero_spatial"),
        ("returns only", "DoomSuite does not say whether a task is solved; experiments.rollout"),
        ("skills", "high predicts z, not actions; give the low level that does as --low"),
        ("no skills", "no hierarchy: the high level predicts actions (force), not skills"),
        ("foreign", "predicts z of a, the low level was trained with z of b"),
        ("latent", "latent predicts z, not actions; train it on actions"),
        ("low alone", "is a low level, which reads a skill; give the high level as --policy"),
        ("sizes", "the levels read pictures of 8x8 and 16x16"),
        ("cameras", "the policy looks through top, which Lamp does not have; cameras: left, right"),
        ("states", "reads the state speed, of which task push lacks speed; it has place."),
        ("actions", "the policy acts by x, y, z, yaw, gripper, task push by force"),
        ("nowhere", "no checkpoint in"),
        ("theirs", "holds checkpoints, config.json, not an evaluation of a policy"),
    ],
)
def test_refused_commands_change_nothing(place, results, name, message):
    code, _, err, _ = results[name]
    assert code == 1 and message in err and err.count("\n") == 1
    assert not (place / "x").exists()


# --- Suites ------------------------------------------------------------------------------------


@pytest.fixture
def libero(monkeypatch, tmp_path):
    yield libero_stand_in.install(monkeypatch, tmp_path)
    libero_stand_in.forget(monkeypatch)


def test_a_protocol_of_libero_decides_the_episodes(libero):
    suite = open_suite("libero_object", "openvla", ["1", "libero_object_0"], rendering="default")
    assert list(suite.tasks) == ["libero_object_1", "libero_object_0"]
    assert suite.tasks["libero_object_0"].max_steps == 280
    assert suite.protocol["env_seed"] == 0 and suite.protocol["perturbation"] == "none"
    assert suite.protocol["episodes"] == 50 and "shadows" in suite.protocol["rendering"]
    assert suite.seeds(0, 3) == [0, 1, 2]  # numbers of the stored states
    with pytest.raises(UserError, match="--episodes=5: the protocol openvla begins from 4 stored"):
        suite.seeds(0, 5)
    assert open_suite("libero_goal", "baku", []).tasks["libero_goal_1"].max_steps == 270
    json.dumps(suite.protocol)
    by_name = open_suite("libero_goal", "official", ["turn_on_the_stove"])
    assert list(by_name.tasks) == ["libero_goal_1"]


def test_a_perturbed_suite_is_told(libero):
    suite = open_suite("libero_object", "official", [], perturbation="swap")
    assert list(suite.tasks) == ["libero_object_swap_0"]
    told = {key: suite.protocol[key] for key in ("perturbation", "suite", "text")}
    assert told == {"perturbation": "swap", "suite": "libero_object_swap", "text": "bddl"}
    with pytest.raises(
        UserError, match="no suite libero_goal_swap; perturbed ones: libero_object_swap"
    ):
        open_suite("libero_goal", "official", [], perturbation="swap")


def test_what_libero_does_not_have(libero):
    with pytest.raises(
        UserError, match="libero_object has no 7, x; it has the numbers 0 to 1: pick"
    ):
        open_suite("libero_object", "baku", ["7", "x"])
    with pytest.raises(DataError, match=f"unknown protocol 'pi0'; known: {', '.join(PROTOCOLS)}"):
        open_suite("libero_object", "pi0", [])


def test_episodes_of_another_seed_are_others():
    suite = open_suite("tests.data_pipelines.simulators.lamp", "", ["push"])
    assert suite.simulator is Lamp and not set(suite.seeds(0, 50)) & set(suite.seeds(1, 50))


# --- Numbers -----------------------------------------------------------------------------------


def outcomes(task, *ends):
    return [
        Outcome(Episode(task, i), 0.0, 5, "" if e is not None else "why", e)
        for i, e in enumerate(ends)
    ]


def test_lost_episodes_are_listed_and_no_part_of_a_rate():
    tasks = dict.fromkeys(("a", "b"), Lamp.tasks()["push"])
    played = outcomes("a", True, False, None, True) + outcomes("b", False, False)
    report = summarise(tasks, played)
    assert report["tasks"]["a"]["success"].mean == pytest.approx(2 / 3)
    assert report["tasks"]["a"]["success"].n == 3
    assert report["tasks"]["a"]["episodes"][2]["reason"] == "why"
    assert report["success"].mean == pytest.approx(1 / 3) and report["success"].n == 5
    shown = table(report | {"protocol": {"name": "plain"}})
    assert shown.rows[0]["lost"] == 1 and shown.rows[0]["success"].text.startswith("0.67 (0.")


def test_a_task_of_which_all_were_lost_has_no_rate():
    tasks = dict.fromkeys(("a", "b"), Lamp.tasks()["push"])
    report = summarise(tasks, outcomes("a", True) + outcomes("b", None))
    assert report["tasks"]["b"]["success"] is None and report["success"] is None
    assert table(report | {"protocol": {"name": "plain"}}).rows[1]["success"].text == "–"
