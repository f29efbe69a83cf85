"""What a sweep runs."""

import dataclasses
import pathlib
import re
import sys

import pytest
from absl import flags

from experiments import preset_flag
from experiments.budget_sweep.pieces import pieces
from experiments.budget_sweep.settings import PROTOCOLS, has_codes
from experiments.pieces.piece import identities
from experiments.tasks.registry import check_config
from flexlam_jax.errors import UserError
from tests.experiments.budget_sweep.sweeps import PRESETS, sweep

OUT = pathlib.Path("/sweeps/one")


def by_name(**changes):
    return {piece.name: piece for piece in pieces(sweep(OUT, **changes))}


def inputs(piece, known):
    """Names of all pieces that went into one."""
    direct = set(piece.reads)
    return direct.union(*(inputs(known[name], known) for name in direct))


def flags_of(piece):
    return dict(flag.removeprefix("--").split("=", 1) for flag in piece.flags if "=" in flag)


def test_a_piece_writes_its_own_folder_and_comes_after_what_it_reads():
    known, before = by_name(seeds=(0, 7)), set()
    for piece in known.values():
        assert f"{OUT}/{piece.name}" in (flags_of(piece).get("out"), flags_of(piece).get("workdir"))
        paths = {path for flag in piece.flags for path in re.findall(rf"{OUT}/([^,=']+)", flag)}
        named = {path for path in paths if path in known} - {piece.name}
        assert named <= inputs(piece, known) <= before, piece.name
        before.add(piece.name)
    assert len(before) == len(pieces(sweep(OUT, seeds=(0, 7))))


def test_fixed_k_differs_from_flexlam_in_its_slots_alone():
    known = by_name()
    flex, fixed = (set(known[f"seed0/lam/{name}"].flags) for name in ("flexlam", "fixed_1"))
    preset = PRESETS.lam
    assert flex - fixed == {
        f"--config={preset}",
        "--config.model.slots=4",
        f"--workdir={OUT}/seed0/lam/flexlam",
    }
    assert fixed - flex == {
        f"--config={preset},fixed=1",
        "--config.model.slots=1",
        f"--workdir={OUT}/seed0/lam/fixed_1",
    }


def test_all_models_get_the_same_labels_and_play_the_same_episodes():
    found = pieces(sweep(OUT))
    cells = [piece.cell for piece in found if piece.module == "experiments.align_translator"]
    of = {
        name: {(c.protocol, c.labels, c.draw) for c in cells if c.model == name}
        for name in ("flexlam", "fixed_1", "fixed_4")
    }
    assert of["flexlam"] == of["fixed_1"] == of["fixed_4"]
    scarce = {cell for cell in of["flexlam"] if cell[0] == "scarce"}
    assert scarce == {("scarce", "16", 0), ("scarce", "16", 1), ("scarce", "0.5%", 0)}
    played = [piece for piece in found if piece.module == "experiments.rollout"]
    assert {flags_of(piece)["episodes"] for piece in played} == {"2"}
    budgets = {name: {p.cell.k for p in played if p.cell.model == name} for name in of}
    assert budgets == {"flexlam": {1, 4}, "fixed_1": {1}, "fixed_4": {4}}


def test_narrow_labels_are_measured_without_the_task_they_come_from():
    known = by_name()
    own = flags_of(known["seed0/translator/flexlam_aim_sticky"])
    assert (own["datasets"], own["labels"]) == ("aim_sticky", "all")
    assert own["evaluate_on"] == "walk_noisy"
    assert flags_of(known["seed0/rollout/flexlam_aim_sticky_k4"])["tasks"] == "walk"
    other = flags_of(known["seed0/translator/flexlam_stand_sticky"])
    assert other["evaluate_on"] == "aim_noisy,walk_noisy"


def test_a_model_chooses_how_to_act_once():
    """On validation episodes of its longest budget with most labels; the others take its rules."""
    for piece in pieces(sweep(OUT)):
        if piece.module == "experiments.rollout" and piece.cell.model == "flexlam":
            own = flags_of(piece)
            choosing = "seed0/rollout/flexlam_0.5pct_draw0_k4"
            if piece.cell.protocol == "joint":
                choosing = "seed0/rollout/flexlam_joint_0.5pct_k4"
            if piece.name == choosing:
                assert (own["rule"], own["validation_episodes"]) == ("auto", "3")
            else:
                assert own["rules_of"] == f"{OUT}/{choosing}" and "rule" not in own


def test_narrow_labels_alone_choose_rules_for_the_tasks_they_play():
    known = by_name(protocols=("narrow",))
    assert "rule" in flags_of(known["seed0/rollout/flexlam_aim_sticky_k4"])
    assert "rule" in flags_of(known["seed0/rollout/flexlam_stand_sticky_k4"])  # One task more.


def test_protocols_that_are_not_asked_for_are_left_out():
    known = by_name(protocols=("scarce",))
    assert not [name for name in known if "sticky" in name or "joint" in name or "tuned" in name]


def test_a_piece_is_known_by_what_went_into_it():
    before, out = pieces(sweep(OUT)), str(OUT)
    old = identities(before, out)
    more = identities(pieces(sweep(OUT, seeds=(0, 1), labels={"16": 3, "0.5%": 1})), out)
    assert old.items() <= more.items() or set(old) - set(more) == set()
    changed = {name for name in old if more[name] != old[name]}
    assert changed == {"seed0/report"}  # It takes as many draws as there are.
    presets = dataclasses.replace(PRESETS, lam="experiments/configs/doom.py")
    other = identities(pieces(sweep(OUT, presets=presets)), out)
    same = {name for name in old if other[name] == old[name]}
    anchors = {"anchors/rollout/random", "anchors/rollout/expert"}
    assert same == {"data", "seed0/cloning/cloning", "seed0/rollout/cloning", *anchors}
    moved = identities(pieces(sweep(pathlib.Path("/elsewhere"))), "/elsewhere")
    assert moved == old


def test_commands_know_all_flags(monkeypatch):
    """Flags of configs are read by the preset; of the others it is seen that they are defined."""
    shared = pathlib.Path("experiments/lam_inputs.py").read_text()
    seen = set()
    for piece in pieces(sweep(OUT)):
        kind = (piece.stage, "fixed" in piece.name)
        if kind in seen or piece.module.startswith("data_pipelines"):
            continue
        seen.add(kind)
        own = [flag for flag in piece.flags if not flag.startswith("--config")]
        base = pathlib.Path(piece.module.replace(".", "/"))
        files = [base / "command.py", base.with_suffix(".py"), pathlib.Path("experiments/train.py")]
        text = shared + "".join(file.read_text() for file in files if file.exists())
        for flag in own:
            name = flag.removeprefix("--").partition("=")[0]
            assert f'"{name}"' in text, flag
        if own != list(piece.flags):
            values = flags.FlagValues()
            preset_flag.define_config("A preset.", values)
            given = [flag for flag in piece.flags if flag.startswith("--config")]
            monkeypatch.setattr(sys, "argv", ["", *given])
            values(sys.argv)
            check_config(values.config)
            if piece.stage in ("lam", "tuned"):
                assert values.config.model.slots == (1 if "fixed_1" in piece.name else 4)
    assert ("tuned", True) in seen and ("policy", False) in seen


def test_budgets_that_training_never_draws_are_refused():
    assert has_codes("experiments/configs/doom.py", (1, 4))
    with pytest.raises(UserError, match="preset of kind 'token_policy'; give one of a LAM"):
        has_codes("experiments/configs/token_policy.py", (1, 4))
    with pytest.raises(UserError, match="trained at 4 slots, never at 1, 2"):
        has_codes("experiments/configs/doom.py:fixed=4", (1, 2, 4))
    assert PROTOCOLS == ("scarce", "narrow", "joint")
