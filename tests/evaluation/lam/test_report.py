import html
import json
import re

import pytest

from flexlam_jax.evaluation.lam import report_html, report_summary, report_table
from flexlam_jax.evaluation.lam.evaluation import Settings, evaluate
from flexlam_jax.reports import svg


@pytest.fixture(scope="module")
def evaluation(world):
    result = evaluate(
        {"flex": world.ExactLam(), "<other>": world.ExactLam()},
        world.batches(world.transitions(600, 0)),
        world.batches(world.transitions(300, 1)),
        Settings(label_counts=(64, 256), draws=2, pictures=2, frames_every=2),
        num_actions=4,
    )
    result.report["data"] |= {"action_names": ["left", "right", "up", "down"]}
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
    return report_html.render(evaluation.report, evaluation.pictures)


def test_page_and_terminal_show_the_same_cells(evaluation, page):
    shown = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]
    expected = [
        cell.text
        for table in report_table.all_tables(evaluation.report)
        for row in table.rows
        for cell in row
    ]
    assert shown == expected
    for table in report_table.all_tables(evaluation.report):
        text = report_table.as_text(table)
        assert all(cell.text in text for row in table.rows for cell in row)


def test_cells_are_the_numbers_of_the_report(evaluation):
    table = report_table.main_table(evaluation.report)
    first = evaluation.report["models"][0]["reconstruction"][0]
    cells = dict(zip(table.columns, table.rows[0]))
    assert cells["PSNR dB"].text.startswith(f"{first['psnr']['mean']:.2f} ±")
    assert cells["PSNR dB"].number is first["psnr"]
    assert [row[0].text for row in table.rows[-5:]] == [
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


def test_slider_has_a_picture_for_every_length(evaluation, page):
    data = json.loads(re.search(r'id="picture-data">(.*?)</script>', page, re.S).group(1))
    assert data["budgets"] == [1, 2, 3]
    for kind in ("prediction", "error"):
        assert [len(row) for row in data[kind]] == [2, 2, 2]
        assert all(uri.startswith("data:image/png;base64,") for row in data[kind] for uri in row)
    assert data["error"][0] != data["error"][2]
    assert page.count("<img") == 8 and all(re.findall(r'<img[^>]* alt="[^"]+"', page))
    assert 'type="range" min="0" max="2"' in page


def test_names_are_escaped_and_actions_named(page):
    assert "<other>" not in page and "&lt;other&gt;" in page
    assert re.search(r"1\. action (left|right|up|down)", page)


def test_summary_speaks_of_these_numbers(evaluation):
    text = " ".join(evaluation.report["summary"])
    rows = evaluation.report["models"][0]["reconstruction"]
    assert f"rises from {rows[0]['psnr']['mean']:.2f} dB" in text and "above copying" in text
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
    page = report_html.render(report, result.pictures)
    assert "No probes: nothing is labelled." in page and "True action" not in page
    assert len(report_table.all_tables(report)) == 2


@pytest.mark.parametrize("low, high", [(0, 1), (21.8, 25.6), (0.21, 0.213), (5, 5), (-3, -1)])
def test_ticks_are_few_round_and_around_the_data(low, high):
    ticks = svg.nice_ticks(low, high)
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9 and 2 <= len(ticks) <= 7


def test_numbers_are_printed_without_negative_zero():
    number = {"mean": -0.0001, "low": -0.0002, "high": 0.0}
    assert report_table.format_number(number, 2) == "0.00 ±0.00"
    assert report_table.format_number(None, 2) == "–"
