import html
import json
import re

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.evaluator import Evaluator
from flexlam_jax.evaluation.lam import report_page, report_summary, report_tables
from flexlam_jax.evaluation.lam.evaluation import evaluate
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.reports.results import Number, plain
from flexlam_jax.reports.tables import as_text, cells

NAMES = ("left", "right", "up", "down")


@pytest.fixture(scope="module")
def evaluation(world):
    result = evaluate(
        {"flex": world.ExactLam(), "<other>": world.ExactLam()},
        world.batches(world.transitions(600, 0)),
        world.batches(world.transitions(300, 1)),
        Settings(
            label_counts=(64, 256),
            draws=2,
            pictures=2,
            frames_every=2,
            num_actions=4,
            action_names=NAMES,
        ),
    )
    result.report.update(
        {
            "title": "flex on exact",
            "summary": report_summary.sentences(result.report),
            "run": {"command": "python -m experiments.evaluate_lam --checkpoint='a b'"},
        }
    )
    return result


@pytest.fixture(scope="module")
def page(evaluation):
    return report_page.render(evaluation.report, evaluation.pictures)


def test_page_and_terminal_show_the_same_cells(evaluation, page):
    shown = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]
    tables = report_tables.all_tables(evaluation.report)
    assert shown == [cell.text for table in tables for row in cells(table) for cell in row]
    for table in tables:
        text = as_text(table)
        assert all(cell.text in text for row in cells(table) for cell in row)


def test_cells_are_the_numbers_of_the_report(evaluation):
    table = report_tables.main_table(evaluation.report)
    first = evaluation.report["models"][0]["reconstruction"][0]
    titles = [column.title for column in table.columns]
    shown = dict(zip(titles, cells(table)[0], strict=True))
    assert shown["PSNR dB"].text.startswith(f"{first['psnr'].mean:.2f} ±")
    assert shown["PSNR dB"].number is first["psnr"]
    assert [row[0].text for row in cells(table)[-5:]] == [
        "copy o_t",
        "majority class",
        "observation only",
        "pixel pair",
        "shuffled latents",
    ]


def test_page_needs_no_network(page):
    addresses = re.findall(r'(?:src|href)="([^"]*)"|url\(', page)
    assert len(addresses) > 8 and all(address.startswith("data:") for address in addresses)
    assert "import(" not in page and "fetch(" not in page and "@import" not in page
    assert "http://" not in page and "https://" not in page


def test_slider_has_a_picture_for_every_length(page):
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page).group(1))
    assert data["values"] == [1, 2, 3] and data["name"] == "k"
    assert len(data["pictures"]) == 2 * len(data["samples"]) == 4
    for picture in data["pictures"]:
        assert len(picture["images"]) == len(picture["alts"]) == 3
        assert all(uri.startswith("data:image/png;base64,") for uri in picture["images"])
        assert picture["images"][0] != picture["images"][2]
    assert page.count("<img") == 8 and all(re.findall(r'<img[^>]* alt="[^"]+"', page))
    assert 'type="range" min="0" max="2"' in page and "o<sub>t+1</sub>, true" in page


def test_names_are_escaped_and_actions_named(page):
    assert "<other>" not in page and "&lt;other&gt;" in page
    assert re.search(r"1\. action (left|right|up|down)", page)


def test_summary_speaks_of_these_numbers(evaluation):
    text = " ".join(evaluation.report["summary"])
    rows = evaluation.report["models"][0]["reconstruction"]
    assert f"rises from {rows[0]['psnr'].mean:.2f} dB" in text and "above copying" in text
    assert "The decoder uses the code" in text and "With 256 labels" in text
    assert "Beside <other> at k = 1, flex has +0.00 dB" in text


def test_report_without_actions_renders(world):
    transitions = world.transitions(60, 1)
    del transitions["action"]
    result = evaluate(
        {"m": world.ContinuousLam()},
        None,
        world.batches(transitions),
        no_actions="nothing is labelled",
    )
    report = result.report | {
        "title": "t",
        "summary": report_summary.sentences(result.report),
        "run": {},
    }
    page = report_page.render(report, result.pictures)
    assert "No probes: nothing is labelled." in page and "True action" not in page
    assert [table.title for table in report_tables.all_tables(report)] == [
        "What each slot buys",
        "Code usage per slot",
        "Without labels",
        "Checks without labels",
    ]
    assert "Verdict" in page and "Not measured: leakage probes" in page
    assert "Not measured: perceptual distance; no network that compares pictures" in page


def test_an_evaluator_that_is_added_to_the_table_is_in_the_report(world, monkeypatch):
    def steps(lam, data):
        del data
        return Number(lam.step, lam.step, lam.step, 1, "steps", "runs")

    monkeypatch.setitem(EVALUATORS, "steps", Evaluator("steps", steps, reads=()))
    transitions = world.transitions(60, 1)
    del transitions["action"]
    result = evaluate({"m": world.ExactLam()}, None, world.batches(transitions))
    assert plain(result.report["others"])["steps"]["m"]["mean"] == 7
    report = result.report | {"title": "t", "summary": [], "run": {}}
    assert report_tables.all_tables(report)[-1].title == "steps"
    assert '<td title="7 [7, 7] steps, n = 1 runs">7.000</td>' in report_page.render(
        report, result.pictures
    )


class MeanDifference:
    """Stands for a network that compares pictures."""

    def __call__(self, x, y):
        return np.abs(np.asarray(x, np.float32) - y / np.float32(255)).mean((1, 2, 3))

    def described(self):
        return {"name": "LPIPS (Eye)", "network": "Eye", "weighted": True, "fingerprint": "f"}


def test_perceptual_distances_stand_beside_psnr_or_their_absence_is_told(world):
    transitions = world.transitions(60, 1)
    del transitions["action"]
    fixed = world.ExactLam()
    fixed.budgets = (2,)
    fixed.config = {"model": fixed.config["model"] | {"keep": {"kind": "fixed", "count": 2}}}
    result = evaluate(
        {"flex": world.ExactLam(), "mine": fixed},
        None,
        world.batches(transitions),
        Settings(perceptual=MeanDifference(), pictures=1),
        no_perceptual="no file",
    )
    report = result.report | {"title": "t", "summary": [], "run": {}}
    rows = report["models"][0]["reconstruction"]
    copied = report["baselines"]["copy"]["perceptual"]
    assert copied.mean > rows[0]["perceptual"].mean > rows[1]["perceptual"].mean == pytest.approx(0)
    assert rows[0]["perceptual"].high > rows[0]["perceptual"].low > 0
    table = report_tables.main_table(report)
    titles = [column.title for column in table.columns]
    shown = [dict(zip(titles, row, strict=True)) for row in cells(table)]
    assert shown[-1]["LPIPS (Eye)"].number is copied and shown[-1]["model"].text == "copy o_t"
    assert shown[3]["model"].text == "mine (fixed capacity)" and "k" in shown[3]
    assert "people judged" in table.caption and "number of slots alone" in table.caption
    page = report_page.render(report, result.pictures)
    assert "LPIPS (Eye), smaller is nearer" in page and "mine (fixed capacity)</li>" in page
    missing = [one["rows"] for one in report["verdict"]["missing"]]
    assert "perceptual distance" not in missing
    plain(report)


def test_frames_that_are_no_numbers_are_one_message(world):
    transitions = world.transitions(20, 1)
    del transitions["action"]
    lam = world.ExactLam()
    lam.decode = lambda o_t, codes: (
        np.where(np.arange(len(o_t)) == 3, np.nan, 0.5)[:, None, None, None] * np.ones(o_t.shape)
    )
    with pytest.raises(UserError, match="1 of 20 predicted frames hold NaN .* is number 3; load"):
        evaluate({"m": lam}, None, world.batches(transitions), Settings(pictures=1))
