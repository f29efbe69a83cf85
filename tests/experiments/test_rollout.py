"""The command that plays: what it writes, that it goes on, what it refuses."""

import dataclasses
import json
import re
from types import SimpleNamespace

import av
import jax
import numpy as np
import pytest

import flexlam_jax
from experiments.rollout import players
from experiments.rollout.players import LatentPath
from experiments.rollout.record import TEST, Record
from experiments.rollout.videos import Recorder
from flexlam_jax.checkpoints import params
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import DamagedFile, UserError
from flexlam_jax.evaluation.decision_rules import Rule
from flexlam_jax.evaluation.rollouts import Episode, Outcome
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning
from flexlam_jax.models.translator import Translator
from flexlam_jax.output_folder import RUN, TRANSLATOR
from tests.acting.tiny_parts import make_policy, make_translator
from tests.data_pipelines.simulators.lamp import FOLDER, played
from tests.experiments.command_lines import run_lines
from tests.models.test_behaviour_cloning import TINY
from tests.untrained import save_run

LAMP = "--simulator=tests.data_pipelines.simulators.lamp"


def save_policy(folder, names):
    """A cloned policy of random weights."""
    section = {**TINY, "discrete": True, "action_names": names}
    frames = np.zeros((1, 3, 16, 16, 3), np.uint8)
    variables = jax.jit(build_behaviour_cloning(section).init)(jax.random.key(0), frames)
    save_model(folder, RUN, variables, {"kind": "behaviour_cloning", "model": section})
    return folder


def save_latent_path(place):
    """tokens/ and translator/ for the LAM in lam/, of random weights."""
    lam = flexlam_jax.load(save_run(place / "lam"))
    policy = make_policy(lam)
    section = {"kind": "token_policy", **policy.config}
    section["lam"] = {**section["lam"], "checkpoint": str(place / "lam")}
    save_model(place / "tokens", RUN, policy.variables, section)
    config = dataclasses.replace(make_translator(lam).config, outputs=2, action_names=("a", "b"))
    codes = np.zeros((1, config.slots * config.slot_width), np.float32)
    variables = jax.jit(Translator(2, config.hidden).init)(jax.random.key(0), codes)
    save_model(place / "translator", TRANSLATOR, variables, dataclasses.asdict(config))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    save_policy(place / "policy", ("a", "b"))
    save_policy(place / "other", ("left", "right", "shoot"))
    save_latent_path(place)
    return place


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr) of several commands, one after the other."""
    common = [f"--policy={place}/policy", LAMP, "--tasks=short", "--validation_episodes=3"]
    lines = {
        "first": [*common, "--episodes=6", "--batch=4", "--videos=1", f"--out={place}/first"],
        "half": [*common, "--episodes=3", "--workers=1", "--batch=4", f"--out={place}/one"],
        "one worker": [*common, "--episodes=6", "--workers=1", "--batch=4", f"--out={place}/one"],
        "latent": [
            f"--policy={place}/tokens",
            f"--translator={place}/translator",
            *common[1:3],
            *("--keep=2", "--draws=2", "--rule=sample", "--episodes=2", "--videos=1", "--batch=1"),
            f"--out={place}/latent",
        ],
        "settings": [*common, "--seed=1", f"--out={place}/first"],
        "random": ["--policy=random", LAMP, "--episodes=2", f"--out={place}/random"],
        "absent": [*common[:2], "--tasks=short,absent", f"--out={place}/x"],
        "simulator": [common[0], "--simulator=nothing", f"--out={place}/x"],
        "no simulator": [common[0], "--simulator=synthetic", f"--out={place}/x"],
        "actions": [f"--policy={place}/other", *common[1:], f"--out={place}/x"],
        "lam": [f"--policy={place}/lam", *common[1:], f"--out={place}/x"],
        "translator": [*common, "--translator=somewhere", f"--out={place}/x"],
        "behaviour": ["--policy=expert", "--keep=4", LAMP, f"--out={place}/x"],
        "nowhere": [f"--policy={place}/absent", *common[1:], f"--out={place}/x"],
        "theirs": [*common, f"--out={place}/lam"],
        "empty": [*common, "--out="],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(place))
        done = run_lines("rollout.command", list(lines.values()))
    return dict(zip(lines, done, strict=True))


def report_of(folder):
    return json.loads((folder / "returns.json").read_text())


def test_returns_are_written(place, results):
    code, out, err, _ = results["first"]
    assert code == 0, err
    assert "steps, " in out and "returns.json" in out
    report = report_of(place / "first")
    task = report["tasks"]["short"]
    assert task["rule"] == max(task["validation"], key=task["validation"].get)
    assert len(task["validation"]) == 2 and report["mean"] is task["normalised"] is None
    assert [one["seed"] for one in task["episodes"]] == [0, 2, 4, 6, 8, 10] and not task["lost"]
    returns = [one["return"] for one in task["episodes"]]
    assert task["return"]["mean"] == pytest.approx(np.mean(returns)) and len(set(returns)) > 1
    assert task["return"]["low"] < task["return"]["mean"] < task["return"]["high"]
    assert report["policy"]["kind"] == "behaviour_cloning" and report["speed"]["steps"] > 30


def test_neither_workers_nor_a_pause_change_anything(place, results):
    assert results["half"][0] == results["one worker"][0] == 0
    first, one = (report_of(place / name)["tasks"] for name in ("first", "one"))
    assert first == one
    begun = [seed for seed in played(place) if int(seed) in range(0, 12, 2)]
    others = 2 * ["0", "2"] + ["0", "2"]  # random plays two tasks, latent actions one
    assert sorted(begun) == sorted([*"02468", "10"] * 2 + others)  # none of them again


def test_videos_and_the_page_that_shows_them(place, results):
    (video,) = (place / "first" / "videos").iterdir()
    with av.open(str(video)) as file:
        shown = sum(1 for _ in file.decode(video=0))
    length = report_of(place / "first")["tasks"]["short"]["episodes"][0]["length"]
    assert video.name == "short_0.mp4" and shown in (length, length + 1)
    page = (place / "first" / "gallery.html").read_text()
    assert 'src="videos/short_0.mp4"' in page and "http" not in re.sub(r"<!.*?>", "", page)


def test_latent_actions_are_played_and_their_pictures_shown(place, results):
    assert results["latent"][0] == 0, results["latent"][2]
    report = report_of(place / "latent")
    policy = report["policy"]
    assert (policy["kind"], policy["keep"], policy["draws"]) == ("token_policy", 2, 2)
    assert policy["lam"]["kind"] == "lam" and policy["translator"]["kind"] == "translator"
    assert len(report["tasks"]["short"]["episodes"]) == 2
    with av.open(str(place / "latent" / "videos" / "short_0.mp4")) as file:
        assert file.streams.video[0].width == 8 + 3 * (256 + 8)


def test_behaviours_play_all_tasks(place, results):
    assert results["random"][0] == 0, results["random"][2]
    tasks = report_of(place / "random")["tasks"]
    assert tasks["push"]["episodes"][0]["length"] == 40  # its horizon
    assert tasks["push"]["rule"] == "" and not tasks["push"]["validation"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("settings", "holds rollouts of other settings (seed was 0, is 1)"),
        ("absent", "Lamp has no task 'absent'; tasks: push, short"),
        ("simulator", "unknown dataset 'nothing'; known: doom"),
        ("no simulator", "--simulator=synthetic is a dataset that nobody can act in"),
        ("actions", "the policy acts by left, right, shoot, task short by a, b (discrete)"),
        ("lam", "holds a model of kind 'lam', which does not act"),
        ("translator", "for which --translator mean nothing"),
        ("behaviour", "is a behaviour of the simulator, for which --keep mean nothing"),
        ("nowhere", "no checkpoint in"),
        ("theirs", "holds checkpoints, not rollouts"),
        ("empty", "--out= is empty"),
    ],
)
def test_refused_commands_change_nothing(place, results, name, message):
    code, _, err, _ = results[name]
    assert code == 1 and message in err and err.count("\n") == 1
    assert not (place / "x").exists()


RULES = {"walk": Rule("argmax")}
WALK = [Episode("walk", seed) for seed in range(3)]


def test_lost_episodes_are_played_once_more_by_the_next_call(tmp_path):
    record = Record(tmp_path, {"seed": 0})
    record.add(TEST, Outcome(WALK[0], 1.0, 5), RULES)
    record.add(TEST, Outcome(WALK[1], 0.5, 2, "it broke"), RULES)
    assert record.missing(TEST, WALK, RULES) == WALK[2:]
    later = Record(tmp_path, {"seed": 0})
    assert later.missing(TEST, WALK, RULES) == WALK[1:]
    assert later.missing(TEST, WALK, {"walk": Rule("sample")}) == WALK
    later.add(TEST, Outcome(WALK[1], 2.0, 5), RULES)
    assert [one.lost for one in Record(tmp_path, {"seed": 0}).outcomes(TEST, WALK[:2], RULES)] == [
        "",
        "",
    ]


def test_a_line_that_was_being_written_does_not_count(tmp_path):
    record = Record(tmp_path, {"seed": 0})
    for episode in WALK:
        record.add(TEST, Outcome(episode, 1.0, 5), RULES)
    lines = tmp_path / "episodes.jsonl"
    lines.write_text(lines.read_text()[:-9])
    later = Record(tmp_path, {"seed": 0})
    assert later.missing(TEST, WALK, RULES) == WALK[2:]
    later.add(TEST, Outcome(WALK[2], 3.0, 5), RULES)
    returns = [
        one.episode_return for one in Record(tmp_path, {"seed": 0}).outcomes(TEST, WALK, RULES)
    ]
    assert returns == [1.0, 1.0, 3.0]


def test_a_damaged_record_is_told(tmp_path):
    Record(tmp_path, {"seed": 0})
    (tmp_path / "episodes.jsonl").write_text('{"split": "test", "task": 3}\n')
    with pytest.raises(DamagedFile, match=r"line 1 of .*task: expected `str`, got `int`, it is 3"):
        Record(tmp_path, {"seed": 0})


def test_a_video_shows_what_was_predicted(tmp_path):
    recorder = Recorder(tmp_path, {"walk": 8.0}, predicts=True)
    dark, light = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    recorder.see(WALK[0], 0, dark, None)
    recorder.see(WALK[0], 1, light, dark.astype(np.float32))
    recorder.see(WALK[0], 2, light, np.ones((16, 16, 3), np.float32))
    assert not recorder.path(WALK[0]).exists()
    recorder.end(Outcome(WALK[0], 0.0, 2))
    with av.open(str(recorder.path(WALK[0]))) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    middles = [[frame[150, 136 + 264 * i, 0] > 128 for i in range(3)] for frame in frames]
    assert middles == [[False, False, False], [True, False, True], [True, True, False]]


@pytest.mark.parametrize(
    "path, config, message",
    [
        (LatentPath(), {}, "give the --translator"),
        (LatentPath(translator="t"), {}, "give it as --lam"),
        (LatentPath(translator="t", lam="{place}/lam", keep=4), {}, "--keep=4 is outside 1..3"),
        (LatentPath(translator="t", lam="{place}/lam", keep=0), {}, "--keep=0 is outside 1..3"),
    ],
)
def test_a_policy_of_latent_actions_needs_its_parts(place, monkeypatch, path, config, message):
    path = LatentPath(path.translator, path.lam.format(place=place), path.keep)
    tokens = SimpleNamespace(lam=config)
    monkeypatch.setattr(players, "kind_of", lambda path: "token_policy")
    monkeypatch.setattr(players.flexlam_jax, "load", lambda path: tokens)
    with pytest.raises(UserError, match=message):
        players.open_player("tokens", path)


def test_every_checkpoint_is_read_once(place, monkeypatch):
    read, restore = [], params._restore_params

    def counted(files, folder, *others):
        read.append(folder.parent.name)
        return restore(files, folder, *others)

    monkeypatch.setattr(params, "_restore_params", counted)
    path = LatentPath(str(place / "translator"), keep=2)
    about = players.open_player(str(place / "tokens"), path).about
    assert sorted(read) == ["lam", "tokens", "translator"]
    for name, told in {"tokens": about, **about}.items():
        if name in read:
            variables, _, step = params.restore_params(place / name)
            assert told["step"] == step and told["fingerprint"] == fingerprint(variables), name
