"""The commands of the study, and the fits behind them."""

import dataclasses

import numpy as np
import pytest

from experiments.skill_study.changes import CHANGES, PRESET, chosen
from experiments.skill_study.fits import Budget, fit_and_cut
from experiments.skill_study.pieces import VISIBLE, pieces
from experiments.skill_study.planted import PLANTED, planted
from experiments.skill_study.sequences import SPLITS, normalised
from experiments.skill_study.sources import Source
from flexlam_jax.models.hilam import build_hilam
from flexlam_jax.objectives.hilam import hilam_objective
from tests.experiments.command_lines import run_lines


def test_fits_of_one_program_read_their_own_sequences():
    change = dataclasses.replace(
        chosen([PRESET], planted=True)[0],
        model={
            "targets": (4.0,),
            "widths": (8, 8),
            "encoder_layers": (0,),
            "decoder_layers": (0,),
            "main_layers": 1,
            "heads": 1,
            "mlp_ratio": 1,
        },
    )
    counts = dict.fromkeys(SPLITS, 4)
    one, other = (normalised(planted(kind, 0, counts)) for kind in PLANTED[:2])
    budget = Budget(updates=2, batch=2, steps_of_row=16, learning_rate=0.1)
    cuts = fit_and_cut(change, [one, other, one], [0, 0, 0], ["test"], budget)
    first, second, third = (cut["test"] for cut in cuts)
    assert first.boundaries[0].shape == one["test"].valid.shape
    assert first.boundaries[0][:, 0].all() and not first.boundaries[0][~one["test"].valid].any()
    assert all(map(np.isfinite, first.metrics.values()))
    assert first.metrics["latent"] != second.metrics["latent"]
    np.testing.assert_array_equal(first.boundaries[0], third.boundaries[0])
    assert first.metrics["latent"] == third.metrics["latent"]


@pytest.mark.parametrize("name", [PRESET, *(change.name for change in CHANGES)])
@pytest.mark.parametrize("of_planted", [True, False])
def test_every_setting_can_be_built(name, of_planted):
    (change,) = chosen([name], planted=of_planted)
    codes = {"slots": 1, "codebook_size": 0, "slot_width": 8, "gap": 1}
    model = build_hilam(change.model, codes, {})
    hilam_objective(model, change.model["targets"], change.loss, length=8)
    preset = chosen([PRESET], planted=of_planted)[0]
    assert name == PRESET or change.model != preset.model


def test_a_piece_per_setting_and_the_source_is_told(tmp_path):
    source = Source("data/scene", "latents", (0, 3), fast=True)
    found = pieces(tmp_path, source, chosen([PRESET], planted=False))
    assert [piece.name for piece in found] == [VISIBLE, PRESET]
    assert {
        f"--out={tmp_path / PRESET}",
        f"--change={PRESET}",
        "--sequences=data/scene",
        "--latents=latents",
        "--seeds=0,3",
        "--fast",
    } == set(found[1].flags)
    assert f"--out={tmp_path / VISIBLE}" in found[0].flags and "--fast" in found[0].flags


def test_what_cannot_be_compared_is_refused(tmp_path):
    out = f"--out={tmp_path / 'out'}"
    said = run_lines(
        "skill_study.command",
        [
            [out, "--changes=deeper"],
            [out, "--seeds=a"],
            [out, "--latents=somewhere"],
            [out, f"--sequences={tmp_path / 'none'}", "--changes=none", "--jobs=0"],
            [out, f"--sequences={tmp_path / 'none'}", "--changes=none"],
        ],
    )
    told = (
        "unknown deeper",
        "--seeds=a",
        "without --sequences",
        "jobs",
        f"error: {tmp_path}/none",
    )
    for (code, output, error, _), text in zip(said, told, strict=True):
        assert code and text in output + error
    assert not (tmp_path / "out").exists()
