"""What a study says of the numbers that it found."""

import json

import pytest

from experiments.exogenous_study import page, values
from experiments.exogenous_study.pieces import pieces, report_path
from flexlam_jax.reports.results import plain
from tests.experiments.exogenous_study.test_exogenous_pieces import settings

MADE = {"command": "python -m experiments.exogenous_study"}


def number(mean):
    return {"mean": mean, "low": mean, "high": mean, "n": 1, "unit": "", "over": "episodes"}


def model_rows(accuracy, cycle):
    """(reconstruction, label_free, leakage) of one model with two prefixes and two slots."""
    carried = [
        {"features": f"k = {k}", "k": k, "accuracy": number(accuracy), "exogenous": number(0.1 * k)}
        for k in (1, 2)
    ]
    slots = [
        {"features": f"slot {j} alone", "slot": j, "accuracy": number(accuracy / j)} for j in (1, 2)
    ]
    reconstruction = [{"k": k, "psnr": number(20.0), "gain": number(cycle)} for k in (1, 2)]
    return reconstruction, [{"k": k, "cycle": number(cycle)} for k in (1, 2)], carried + slots


@pytest.fixture
def studied(tmp_path):
    """A study with reports: what is clean reads .8, plain models with distractors .4, remedies more
    the later they stand; the row without labels ranks them just so."""
    s = settings(tmp_path, strengths=(0.0, 1.0))
    for piece in pieces(s):
        if piece.cell is None:
            continue
        strength, seed = piece.cell.strength, piece.cell.seed
        report = {"models": [], "label_free": {}, "leakage": {"models": {}}}
        for place, remedy in enumerate(s.remedies_at(strength)):
            accuracy = 0.8 if strength == 0 else 0.4 + 0.05 * place + 0.01 * (seed > 0)
            reconstruction, free, carried = model_rows(accuracy, accuracy**2)
            report["models"].append({"name": remedy.name, "reconstruction": reconstruction})
            report["label_free"][remedy.name] = free
            report["leakage"]["models"][remedy.name] = carried
        path = report_path(s, piece.cell)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report))
    return s, values.collect(s, pieces(s))


def table(studied, title):
    settings_, rows = studied
    (found,) = [one for one in page.tables(rows, settings_) if one.title.startswith(title)]
    return found


def row_of(shown, remedy, strength=1.0):
    (row,) = [
        one
        for one in shown.rows
        if one["strength"] == strength
        and remedy in (one["remedy"], one.get("slots ordered by control"))
    ]
    return row


def test_what_is_recovered_is_a_share_of_the_plain_model_without_distractors(studied):
    shown = table(studied, "Share of the accuracy")
    assert row_of(shown, "plain")["k1"].mean == pytest.approx((0.4 + 0.41) / 2 / 0.8)
    assert all(row["strength"] == 1.0 for row in shown.rows)


def test_ordered_models_are_compared_seed_by_seed(studied):
    ahead = row_of(table(studied, "Ahead of plain"), "ordered_labels")["accuracy"]
    assert ahead.mean == pytest.approx(7 * 0.05) and ahead.n == 2
    assert ahead.high - ahead.low == pytest.approx(0, abs=1e-9)


def test_slots_are_shown_by_themselves(studied):
    row = row_of(table(studied, "What each slot"), "mask")
    assert row["accuracy_2"].mean == pytest.approx(row["accuracy_1"].mean / 2)
    assert row["exogenous_1"] is None


def test_rows_without_labels_are_ranked_over_all_models(studied):
    shown = table(studied, "Which rows rank models")
    found = {(row["score"], row["against"]): row for row in shown.rows}
    cycle = found["cycle", page.TITLES[page.ACTION]]
    assert cycle["models"] == 2 * (1 + 8) and cycle["spearman"].mean == pytest.approx(1)
    assert {score for score, _ in found} == {"cycle", "gain"}  # what needs no label, and no more


def test_the_files_hold_what_the_tables_show(studied):
    settings_, rows = studied
    shown = page.tables(rows, settings_)
    text = page.markdown(shown, settings_, MADE)
    assert all(one.title in text for one in shown) and MADE["command"] in text
    json.dumps(plain([one.rows for one in shown]), allow_nan=False)
    assert page.svg(rows, settings_).count("<polyline") or page.svg(rows, settings_)
    lines = values.as_csv(rows).splitlines()
    assert len(lines) == 1 + 2 * 9 * 4 and lines[0].startswith("strength,seed,remedy,k,slot")
