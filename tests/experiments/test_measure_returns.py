"""The table of returns: its numbers, the page that keeps its introduction, what is refused."""

import json
import re

import numpy as np
import pytest

from data_pipelines.simulators.returns import Played
from experiments.measure_returns.summary import MARK, page, summarise
from tests.experiments.command_lines import run_lines

TOY = "--simulator=docs.examples.toy_simulator"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    (place / "kept.md").write_text(f"# Mine\n\nWords.\n\n{MARK}\n\nold numbers\n")
    (place / "file").touch()
    return place


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr)."""
    common = [TOY, "--behaviours=random,expert,noisy", "--episodes=3"]
    lines = {
        "new": [*common, f"--out={place}/new/table.md"],
        "kept": [*common, "--workers=1", f"--out={place}/kept.md"],
        "suffix": [*common, f"--out={place}/table.txt"],
        "place": [*common, f"--out={place}/file/table.md"],
        "behaviour": [TOY, "--behaviours=random,clever", f"--out={place}/x.md"],
        "task": [TOY, "--tasks=throw", f"--out={place}/x.md"],
        "simulator": ["--simulator=videos", f"--out={place}/x.md"],
    }
    return dict(zip(lines, run_lines("measure_returns.command", list(lines.values())), strict=True))


def test_the_page_and_its_numbers(place, results):
    assert results["new"][0] == 0, results["new"]
    report = json.loads((place / "new" / "table.json").read_text())
    catch = report["tasks"]["catch"]
    assert set(catch) == {"random", "expert", "noisy"} and report["seed"] == 0
    for one in catch.values():
        assert one["return"]["low"] <= one["return"]["mean"] <= one["return"]["high"]
        assert one["return"]["n"] == 3 and one["length"] > 10
    assert catch["expert"]["return"]["mean"] == 1.0
    text = (place / "new" / "table.md").read_text()
    assert text.startswith("# Returns: docs.examples.toy_simulator\n")
    assert re.search(r"\| catch \| [\d.]+ \([\d.]+ to [\d.]+\) \| 1.00 \(1.00 to 1.00\) \|", text)
    assert "noisy: scripted expert, uniform random action with probability 0.3" in text


def test_workers_change_nothing_and_the_introduction_stays(place, results):
    assert results["kept"][0] == 0, results["kept"]
    kept, new = (
        json.loads((place / name).read_text())["tasks"] for name in ("kept.json", "new/table.json")
    )
    assert kept == new
    text = (place / "kept.md").read_text()
    assert text.startswith(f"# Mine\n\nWords.\n\n{MARK}\n") and "old numbers" not in text


@pytest.mark.parametrize(
    "name, message",
    [
        ("suffix", r"--out=.*table.txt is no page; give a file \*\.md"),
        ("place", r"file/table.md"),
        ("behaviour", "--behaviours: unknown clever; known: random, sticky"),
        ("task", "Paddle has no task 'throw'; tasks: catch"),
        ("simulator", "--simulator=videos is a dataset that nobody can act in"),
    ],
)
def test_what_is_refused_is_told_in_one_message(results, name, message):
    code, _, err, _ = results[name]
    assert code == 1 and re.search(message, err) and "Traceback" not in err


def test_scores_are_by_the_means_of_random_and_expert():
    def played(*returns):
        return [Played(value, 5) for value in returns]

    every = {("random", "a"): played(0, 2), ("expert", "a"): played(9, 13)}
    every |= {("noisy", "a"): played(6, 6)}
    tasks = summarise(["a"], ["random", "expert", "noisy"], every)
    scores = {name: one["normalised"].mean for name, one in tasks["a"].items()}
    assert scores == {"random": 0.0, "expert": 1.0, "noisy": 0.5}
    assert tasks["a"]["noisy"]["return"].low == 6.0 and tasks["a"]["noisy"]["length"] == 5.0
    alone = summarise(["a"], ["noisy"], every)
    equal = summarise(["a"], ["random", "expert"], every | {("expert", "a"): played(1, 1)})
    assert alone["a"]["noisy"]["normalised"] is None and equal["a"]["random"]["normalised"] is None
    told = dict.fromkeys(("command", "date", "versions", "hardware"), "x")
    text = page(told | {"simulator": {}, "behaviours": {"noisy": "n"}, "tasks": alone}, "# T")
    assert "| a | – |" in text and not np.isnan(tasks["a"]["random"]["return"].high)
