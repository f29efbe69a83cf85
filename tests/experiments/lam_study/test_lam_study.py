"""A study of a preset: which commands it runs, and what it says of what they wrote."""

import numpy as np
import pytest

from experiments.lam_study.pieces import REPORT, Settings, pieces
from experiments.lam_study.results import markdown, tables
from experiments.lam_study.variants import CHANGES, of_names
from experiments.preset_flag import read_preset
from flexlam_jax.evaluation.intervals import over_seeds
from tests.experiments.command_lines import run_lines

DOOM = "experiments/configs/doom.py"


def settings(out, **changes):
    values = {
        "out": out,
        "config": f"{DOOM}:debug",
        "prepared": "doom",
        "data": "",
        "seeds": (0, 3),
        "budgets": (1, 4),
        "labels": ("64",),
        "draws": 2,
        "split": "validation",
    }
    return Settings(**values | changes)


def test_every_variant_of_every_seed_is_trained_and_those_of_a_seed_are_measured_together(tmp_path):
    found = pieces(settings(tmp_path), of_names(["motion", "half_rate"], (1, 4), read_preset(DOOM)))
    names = [piece.name for piece in found]
    assert names[0] == "data" and names[-2:] == [f"seed0/{REPORT}", f"seed3/{REPORT}"]
    assert set(names[1:-2]) == {
        f"seed{seed}/lam/{name}"
        for seed in (0, 3)
        for name in ("preset", "fixed_1", "fixed_4", "motion", "half_rate")
    }
    fixed = found[names.index("seed3/lam/fixed_4")]
    assert fixed.reads == ("data",) and f"--config={DOOM}:debug,fixed=4" in fixed.flags
    assert "--config.seed=3" in fixed.flags
    motion = found[names.index("seed0/lam/motion")]
    assert "--config.loss.motion=0.01" in motion.flags
    slow = found[names.index("seed0/lam/half_rate")]
    rate = read_preset(DOOM).optimizer.learning_rate / 2
    assert f"--config.optimizer.learning_rate={rate}" in slow.flags
    report = found[-1]
    assert report.reads[0] == "seed3/lam/preset" and "--budgets=1,4" in report.flags


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_every_change_is_one_of_the_preset(change):
    config, differs = read_preset(DOOM), False
    for text in change.of(config).overrides:
        key, _, value = text.partition("=")
        *sections, last = key.split(".")
        section = config
        for name in sections:
            section = section[name]
        differs |= str(section.get(last)) != value
    assert differs


def test_differences_are_taken_seed_by_seed():
    numbers = {"preset": (0.5, 0.7), "fixed_1": (0.4, 0.6), "fixed_4": (0.6, 0.8)}
    values = {
        seed: {
            name: {(metric, k): of[i] for metric in ("64", "PSNR") for k in (1, 4)}
            for name, of in numbers.items()
        }
        for i, seed in enumerate((0, 3))
    }
    variants = of_names([], (1, 4), None)
    shown = tables(values, {"preset": over_seeds([1.0, 1.0], "ratio")}, ["64"], (1, 4), variants)
    preset, fixed, _ = shown[0].rows
    assert preset["k1"].mean == pytest.approx(0.6) and preset["k1"].high > 0.7
    ahead = preset["ahead1"]
    assert (ahead.mean, ahead.low, ahead.high) == pytest.approx((0.1, 0.1, 0.1))
    assert preset["ahead4"].mean == pytest.approx(-0.1)
    assert "k4" not in fixed and "ahead1" not in fixed  # Its decoder never saw four slots.
    text = markdown(shown, {"command": "c"}, settings(".", data="data"))
    assert "| preset |" in text and "what it is" in text


def test_an_interval_over_seeds_is_students():
    number = over_seeds([1.0, 2.0, 3.0], "dB")
    half = 4.302653 * np.std([1, 2, 3], ddof=1) / np.sqrt(3)
    assert (number.mean, number.high - number.mean, number.n) == pytest.approx((2.0, half, 3))
    one = over_seeds([1.5], "dB")
    assert one.low == one.high == 1.5 and one.n == 1


def test_what_cannot_be_compared_is_refused(tmp_path):
    said = run_lines(
        "lam_study.command",
        [
            [f"--out={tmp_path / 'out'}", "--changes=wider,deeper"],
            [f"--out={tmp_path / 'out'}", "--budgets=3"],
            [f"--out={tmp_path / 'out'}", "--labels=few"],
        ],
    )
    for (code, _, text, _), told in zip(
        said, ("unknown deeper", "never at 3", "--labels=few"), strict=True
    ):
        assert code and told in text
    assert not (tmp_path / "out").exists()
