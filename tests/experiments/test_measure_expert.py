"""The command that measures a scripted expert: numbers, page, going on, what is refused."""

import json

import pytest

from data_pipelines.simulators.attempts import Attempt
from data_pipelines.simulators.simulator import TaskSpec
from docs.examples.toy_simulator import Paddle
from experiments.measure_expert.results import markdown, summarise, table
from flexlam_jax.reports.tables import cells
from tests.experiments.command_lines import run_lines

TOY = "--simulator=docs.examples.toy_simulator"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr); in this order."""
    out = f"--out={place}/expert"
    lines = {
        "two": [TOY, "--tasks=c*h", "--episodes=2", out],
        "three": [TOY, "--episodes=3", "--workers=1", out],
        "settings": [TOY, "--replays=1", out],
        "task": [TOY, "--tasks=throw", f"--out={place}/x"],
        "dataset": ["--simulator=videos", f"--out={place}/x"],
    }
    return dict(zip(lines, run_lines("measure_expert.command", list(lines.values())), strict=True))


def test_results_hold_every_episode_and_more_add_to_them(place, results):
    for name in ("two", "three"):
        assert results[name][0] == 0, results[name]
    report = json.loads((place / "expert" / "results.json").read_text())
    catch = report["tasks"]["catch"]
    assert catch["solved"]["mean"] == 1 and catch["solved"]["n"] == 3
    assert [(one["seed"], one["replayed"]) for one in catch["episodes"]] == [
        (0, True),
        (2, True),
        (4, True),
    ]
    assert report["simulator"]["simulator"].endswith("Paddle")
    lines = (place / "expert" / "attempts.jsonl").read_text().splitlines()
    assert len(lines) == 3, "the second call plays one episode"
    assert "3 of 3" in (place / "expert" / "results.md").read_text()


def test_what_cannot_be_measured_is_one_message(place, results):
    assert not (place / "x").exists()
    for name, told in {
        "settings": "replays was None, is 1",
        "task": "no task 'throw'; tasks: catch",
        "dataset": "a dataset that nobody can act in",
    }.items():
        code, _, err = results[name][:3]
        assert code != 0 and told in err, results[name]


def test_lost_episodes_are_no_part_of_the_share():
    played = {
        "a": [Attempt(0, True, 10, "", True), Attempt(2, True, 12, "", False)],
        "b": [Attempt(0, False, 9, at="Open door, pull"), Attempt(2, False, 0, "it broke")],
    }
    tasks = {name: TaskSpec(name, Paddle.tasks()["catch"].action, language="go") for name in played}
    report = {"simulator": {}, **dict.fromkeys(("command", "hardware", "versions", "date"), "")}
    report |= summarise(tasks, played)
    shown = [[cell.text for cell in row][:6] for row in cells(table(report))]
    assert shown == [
        ["a", "1.00 (0.34 to 1.00)", "2", "1 of 2", "11", "0"],
        ["b", "0.00 (0.00 to 0.79)", "1", "–", "–", "1"],
        ["all", "0.67 (0.21 to 0.94)", "3", "1 of 2", "–", "1"],
    ]
    page = markdown(report)
    assert "- a (go): not equal when played again: seeds 2\n" in page
    assert "- b (go): not solved: seeds 0 (Open door, pull); lost: seeds 2\n" in page
