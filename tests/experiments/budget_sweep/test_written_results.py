"""What a sweep leaves in its folder."""

import csv
import json

from experiments.budget_sweep.pieces import REPORT, RETURNS, pieces
from experiments.budget_sweep.results import write_results
from experiments.pieces.runner import Marker
from tests.experiments.budget_sweep.sweeps import sweep
from tests.experiments.budget_sweep.test_results import report, returns


class Finished:
    """A runner whose rollouts and report are over."""

    def __init__(self, every, out):
        self.mine = [piece for piece in every if piece.gives in (RETURNS, REPORT)]
        self.markers = {piece.name: Marker("", [], 30.0, 60.0) for piece in self.mine}
        for piece in self.mine:
            (out / piece.name).mkdir(parents=True)
            name, result = "returns.json", returns([0.2, 0.4])
            if piece.gives == REPORT:
                name, result = "report.json", report()
            (out / piece.name / name).write_text(json.dumps(result))

    def finished(self):
        return self.mine


def test_results_are_tables_a_figure_and_how_they_were_made(tmp_path, capsys):
    settings = sweep(tmp_path)
    every = pieces(settings)
    runner = Finished(every, tmp_path)
    write_results(runner, every, settings)
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["settings"]["budgets"] == [1, 4] and told["versions"] and told["hardware"]
    rollouts = sum(piece.gives == RETURNS for piece in runner.mine)
    assert told["stages"]["rollout"] == {
        "pieces": rollouts,
        "seconds": 30.0 * rollouts,
        "cpu_seconds": 60.0 * rollouts,
    }
    point = next(point for point in told["points"] if point["model"] == "flexlam")
    assert point["number"].keys() == {"mean", "low", "high", "n", "unit", "over"}
    with open(tmp_path / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["piece"] for row in rows} == {piece.name for piece in runner.mine}
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    assert "figure.svg" in (tmp_path / "results.md").read_text()
    assert "Normalised return" in capsys.readouterr().out
